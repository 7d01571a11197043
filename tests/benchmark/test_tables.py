"""The tables of a benchmark."""

from __future__ import annotations

from monai_lesion.benchmark.candidates import Candidate, Costs
from monai_lesion.benchmark.rows import Row
from monai_lesion.benchmark.settings import PLAIN, Setting
from monai_lesion.benchmark.tables import front_table, rows_table, to_csv
from tests.benchmark.rows import row


def test_networks_are_shown_in_their_fastest_row_and_the_front_in_bold() -> None:
    slow, fast = Candidate("U-net"), Candidate("Light U-net")
    rows = [
        Row(slow, PLAIN, Costs(9, 1, 1), times=((5.0,),)),  # plain PyTorch does not count
        Row(slow, Setting("onnx", "fp32"), Costs(9, 1, 1), times=((30.0,),)),
        Row(fast, Setting("onnx", "fp32"), Costs(12, 1, 1), times=((20.0,),)),
        Row(fast, Setting("onnx", "int8"), Costs(12, 1, 1), times=((10.0,),)),
    ]
    lines = front_table(rows).markdown().splitlines()[2:4]
    assert lines[0].startswith("| **Light U-net** | 12 | 0.00 |  | onnx-int8 | 10.0 |")
    assert lines[1].startswith("| U-net | 9 | 0.00 |  | onnx-fp32 | 30.0 |")


def test_table_and_file_have_a_line_a_row() -> None:
    rows = [row(), row(Setting("onnx", "int8"), dice=0.8, dice_change=-0.001, ratio=2.0)]
    assert "-0.0010" in rows_table(rows).markdown().splitlines()[3]
    assert len(to_csv(rows).splitlines()) == 3
