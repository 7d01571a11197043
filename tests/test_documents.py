"""The documents say what the code does: versions, links, commands, options, config keys and the table of networks."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import monai_lesion
from monai_lesion.commands.app import app

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "bundles" / "lighter_unet" / "configs"
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        ROOT / "data_manifests" / "README.md",
        ROOT / "bundles" / "lighter_unet" / "docs" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]


@functools.cache
def commands() -> dict[tuple[str, ...], Any]:
    """Each command of the program by its words."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield words, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*words, name))

    return dict(walk(typer.main.get_command(app), ()))


def program_calls(text: str) -> Iterator[list[str]]:
    """The words after each ``monai-lesion`` within code, lines that end in a backslash joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    blocks = re.findall(r"^```(?:bash|)\n(.*?)^```", joined, re.M | re.S)
    outside = re.sub(r"^```.*?^```", "", joined, flags=re.M | re.S)
    for code in [*re.findall(r"`([^`\n]+)`", outside), *(line for block in blocks for line in block.splitlines())]:
        if code.startswith("monai-lesion "):
            yield code.split(" #")[0].split()[1:]


def heading_section(text: str, heading: str) -> str:
    """The text below a heading of the second level."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def documented_keys(section: str) -> dict[str, str]:
    """Key and default of each row of the tables of a section."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| .+ \|$", section, re.M)
    assert len(rows) == len(dict(rows)), "a key stands twice"
    return dict(rows)


def config_keys(name: str) -> dict[str, Any]:
    """The keys of a config; of ``train`` and ``validate`` also the parts."""
    content = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
    keys = {key: value for key, value in content.items() if not key.startswith("_")}
    for part in ("train", "validate"):
        if isinstance(content.get(part), dict):
            keys |= {f"{part}#{key}": value for key, value in content[part].items()}
    return keys


def test_versions_agree() -> None:
    version = monai_lesion.__version__
    metadata = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["version"] == version
    assert metadata["monai_lesion_version"] == version
    assert next(iter(metadata["changelog"])) == version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[([\d.]+)\]", changelog, re.M)[1] == version  # type: ignore[index]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", citation, re.M)[1] == version  # type: ignore[index]


def test_metadata_names_the_tested_versions() -> None:
    metadata = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    assert metadata["monai_version"] == pinned["monai"]
    assert metadata["pytorch_version"] == pinned["torch"]
    assert metadata["required_packages_version"]["pytorch-ignite"] == pinned["pytorch-ignite"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_relative_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    relative = [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:", target)]
    missing = [target for target in relative if target and not (document.parent / target).exists()]
    assert not missing


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_commands_and_options_exist(document: Path) -> None:
    known = commands()
    for words in program_calls(document.read_text(encoding="utf-8")):
        path: tuple[str, ...] = ()
        while words and (*path, words[0]) in known:
            path = (*path, words.pop(0))
        if words[:1] == ["COMMAND"]:
            continue
        command = known[path]
        if hasattr(command, "unnamed"):
            command = command.commands[command.unnamed]  # archive SOURCE is archive run SOURCE
        assert path or words[0].startswith("-"), f"no command {words[0]}"
        assert not getattr(command, "commands", {}) or words[0].startswith("-"), f"no command {path} {words[0]}"
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        unknown = {word.split("=")[0] for word in words if word.startswith("--")} - options - {"--help"}
        assert not unknown, f"monai-lesion {' '.join(path)} has no {unknown}"


def test_command_reference_is_complete() -> None:
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    for path, command in commands().items():
        if getattr(command, "commands", {}):
            continue
        assert f"| `monai-lesion {' '.join(path)}` |" in text
        wanted = {option.opts[0] for option in command.params if option.param_type_name == "option"} - {"--help"}
        found: set[str] = set()
        if f"\n## {' '.join(path)}\n" in text:
            found = set(re.findall(r"`(--[\w-]+)`", heading_section(text, " ".join(path))))
        assert found == wanted, f"options of {' '.join(path)}"


@pytest.mark.parametrize("name", ["train.json", "evaluate.json", "multi_gpu_train.json", "inference.json"])
def test_bundle_reference_has_exactly_the_keys_of_the_configs(name: str) -> None:
    text = (ROOT / "docs" / "reference" / "bundle.md").read_text(encoding="utf-8")
    documented, keys = documented_keys(heading_section(text, name)), config_keys(name)
    assert set(documented) == set(keys)
    for key, value in keys.items():
        if not isinstance(value, dict) and not re.search(r"[$@%]|_target_|^\[\"\$", json.dumps(value)):
            assert documented[key] == f"`{json.dumps(value)}`", f"default of {key}"


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "docs/explanation/networks.md"])
def test_network_tables_are_computed(document: str) -> None:
    from monai_lesion.networks.complexity import complexity_table, format_complexity

    assert format_complexity(complexity_table()) in (ROOT / document).read_text(encoding="utf-8")


def test_documents_say_research_use_only() -> None:
    for name in ("README.md", "docs/index.md", "bundles/lighter_unet/docs/README.md"):
        assert "Research use only; not a medical device" in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["busbra", "busbra_dev", "busi_dev"])
def test_manifest_counts_are_those_of_the_files(name: str) -> None:
    content = json.loads((ROOT / "data_manifests" / f"{name}.json").read_text(encoding="utf-8"))
    row = next(
        line
        for line in (ROOT / "data_manifests" / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{name}.json`")
    )
    told = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:images|cases)\b", row)]
    counted = [
        count
        for split in ("training", "validation", "test", "calibration")
        if split in content
        for count in (len(content[split]), len({entry["case_id"] for entry in content[split]}))
    ]
    assert told == counted
