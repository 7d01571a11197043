"""The service's configuration: one TOML file, checked whole, with every fault named at once."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from monai_lesion.errors import InputError, printable
from monai_lesion.files import no_file
from monai_lesion.measures.judgements import DECISIONS
from monai_lesion.pacs.dimse import Peer, checked_title
from monai_lesion.pacs.limits import Limits
from monai_lesion.pacs.objects import FORMATS

try:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
except ImportError as absent:
    raise InputError(
        "the service", "needs pydantic", got=f"no {absent.name}", fix='pip install "monai-lesion[service]"'
    ) from absent

EXAMPLE = Path(__file__).parent / "service.toml"
FILE_BYTES = 1 << 20
SHOWN = 60  # characters of a value in a message
DAY = 86400.0


def _title(text: str) -> str:
    try:
        return checked_title(text)
    except InputError as error:
        raise ValueError("must have 1 to 16 printable ASCII characters, no backslash") from error


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", text):
        raise ValueError("must have 1 to 32 letters, digits, - or _")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"(udp|tcp)://(\[[0-9A-Fa-f:]+\]|[^\s:/@\[\]]+):\d{1,5}", text):
        raise ValueError("must be udp://HOST:PORT or tcp://HOST:PORT")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", text):
        raise ValueError("must be http:// or https:// with a host and a path, without a user or a password")
    return text.rstrip("/")


Title = Annotated[str, AfterValidator(_title)]
Name = Annotated[str, AfterValidator(_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
Folder = Annotated[Path, Field(strict=False)]
Seconds = Annotated[float, Field(gt=0, lt=1e9)]
Count = Annotated[int, Field(ge=1)]
Host = Annotated[str, Field(min_length=1)]
Format = Literal["dicom-seg", "dicom-sr", "sc"]
Decision = Literal["lesion", "doubtful", "nothing found"]


class Part(BaseModel):
    """A table of the file: no other keys than its own, and no value turned into another kind."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


ListenerLimits: Any = create_model(
    "ListenerLimits",
    __base__=Part,
    **{
        each.name: (Annotated[type(each.default), Field(gt=0, lt=1e18)], each.default)  # type: ignore[call-overload]
        for each in fields(Limits)
    },
)


class ListenerPart(Part):
    """The door for scanners and routers."""

    title: Title
    port: Port
    host: str = ""
    limits: ListenerLimits = Field(default_factory=ListenerLimits)

    @property
    def bounds(self) -> Limits:
        """The limits on peers."""
        return Limits(**self.limits.model_dump())


class PeerPart(Part):
    """Who may send images; with an address, ``--check`` asks whether it answers."""

    title: Title
    host: Host | None = None
    port: Port | None = None


class QueuePart(Part):
    """Where everything waits."""

    folder: Folder
    least_free_mb: Annotated[int, Field(ge=0)] = 1024
    sent_days: Annotated[float, Field(gt=0)] = 400.0
    sent_entries: Count = 1_000_000


class ModelPart(Part):
    """A model folder, or the name of a network that comes with the package."""

    folder: Annotated[str, Field(min_length=1)]
    runtime: Literal["onnx", "openvino", "torch"] | None = None
    precision: Literal["fp32", "bf16", "int8"] | None = None
    crop: bool = True
    group: str | None = None


class DeliveryPart(Part):
    """What of a route's results goes to a destination."""

    destination: str
    formats: Annotated[list[Format], Field(min_length=1)] = list(FORMATS)  # type: ignore[arg-type]
    accept: Annotated[list[Decision], Field(min_length=1)] = list(DECISIONS)  # type: ignore[arg-type]
    least_trust: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def judges(self) -> bool:
        """Whether it needs a decision or a trust."""
        return set(self.accept) != set(DECISIONS) or self.least_trust > 0


class RoutePart(Part):
    """Which images go through which model; the first route that fits an image takes it."""

    model: str
    calling: list[str] = []
    modality: list[str] = []
    body_part: list[str] = []
    frame: Annotated[int, Field(ge=0)] | None = None
    seg_type: Literal["binary", "labelmap"] = "binary"
    seg_geometry: Literal["none", "picture"] = "none"
    to: Annotated[list[DeliveryPart], Field(min_length=1)]


class CommitmentPart(Part):
    """When a result that was sent may be forgotten.

    ``required``: when the archive's N-EVENT-REPORT says so. ``if-offered``: the same, but where the archive does not
    know storage commitment, when C-STORE succeeds. ``none``: when C-STORE succeeds.
    """

    rule: Literal["required", "if-offered", "none"] = "if-offered"
    wait: Seconds = 2.0
    again: Seconds = 600.0
    requests: Count = 5
    keep_days: Annotated[float, Field(gt=0)] = 30.0


class DimsePart(Part):
    """An archive that is sent results by C-STORE."""

    kind: Literal["dimse"]
    title: Title
    host: Host
    port: Port
    commitment: CommitmentPart = Field(default_factory=CommitmentPart)
    pause: Seconds = 5.0

    @property
    def peer(self) -> Peer:
        """Its address."""
        return Peer(self.title, self.host, self.port)


class WebPart(Part):
    """How to reach and to log in to a DICOMweb archive."""

    url: Annotated[str, AfterValidator(_url)]
    credentials: Folder | None = None
    ca_file: Folder | None = None
    client_cert: Folder | None = None
    client_key: Folder | None = None


class StowPart(WebPart):
    """An archive that is sent results by STOW-RS; ``listed`` forgets a result once QIDO-RS lists it."""

    kind: Literal["stow"]
    commitment: Literal["listed", "none"] = "listed"
    pause: Seconds = 5.0


KINDS: dict[str, type[BaseModel]] = {"dimse": DimsePart, "stow": StowPart}
Destination = Annotated[DimsePart | StowPart, Field(discriminator="kind")]


class PollerPart(WebPart):
    """A DICOMweb archive that is asked for new studies."""

    every: Seconds = 60.0
    days: Annotated[int, Field(ge=1)] = 2
    modality: Annotated[list[str], Field(min_length=1)] = ["US"]
    most_waiting: Count = 200


class HttpPart(Part):
    """Health and metrics over HTTP."""

    port: Port
    host: Host = "127.0.0.1"
    token_file: Folder | None = None


class LogPart(Part):
    """Lines of JSON on standard error, and in a file."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Folder | None = None


class AuditPart(Part):
    """Audit messages of DICOM PS3.15, A.5."""

    file: Folder | None = None
    syslog: Annotated[str, AfterValidator(_address)] | None = None
    source: Annotated[str, Field(min_length=1)] = "monai_lesion"
    patient_ids: bool = False


class Configuration(Part):
    """What stands in the file."""

    queue: QueuePart
    listener: ListenerPart | None = None
    peers: list[PeerPart] = []
    models: Annotated[dict[Name, ModelPart], Field(min_length=1)]
    routes: Annotated[list[RoutePart], Field(min_length=1)]
    destinations: Annotated[dict[Name, Destination], Field(min_length=1)]
    pollers: dict[Name, PollerPart] = {}
    http: HttpPart | None = None
    log: LogPart = Field(default_factory=LogPart)
    audit: AuditPart = Field(default_factory=AuditPart)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the file."""

    key: str
    rule: str
    got: str = ""
    fix: str = ""

    def __str__(self) -> str:
        got, fix = (f", got {self.got}" if self.got else ""), (f". {self.fix}" if self.fix else "")
        return f"{self.key}: {self.rule}{got}{fix}"


class ConfigurationError(InputError):
    """A configuration with faults, all of them in ``faults``."""

    def __init__(self, file: object, faults: list[Fault]) -> None:
        listed = "".join(f"\n  {fault}" for fault in faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{printable(file)}: {count}{listed}")
        self.faults = faults


def read_configuration(file: str | Path) -> Configuration:
    """Read and check the file; nothing outside it is looked at.

    Relative paths in it are relative to its folder.

    Raises:
        ConfigurationError: with every unknown key, wrong type, wrong value and reference to nothing.
        InputError: when it cannot be read or is no TOML.

    Example:
        >>> read_configuration(EXAMPLE).listener.title
        'LESION'
    """
    path = Path(file)
    rule, fix = "must be a configuration that can be read", "Print an example with: monai-lesion serve --example"
    if (other := no_file(path)) is not None:
        raise InputError(path, rule, got=other, fix=fix)
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES + 1)
    except OSError as error:
        raise InputError(path, rule, got=error.strerror, fix=fix) from error
    if len(content) > FILE_BYTES:
        raise InputError(path, f"must have at most {FILE_BYTES} bytes", got=len(content))
    try:
        raw = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(path, "must be TOML in UTF-8", got=str(error)) from error
    faults = [*_references(raw)]
    try:
        found = Configuration.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(each) for each in error.errors(include_url=False)] + faults
    if faults:
        raise ConfigurationError(path, faults)
    return _anchored(found, path.absolute().parent)


def _anchored(configuration: Configuration, folder: Path) -> Configuration:
    """Make relative paths absolute; a model's name stays what it is where it is no folder."""

    def moved(part: Any) -> Any:
        if isinstance(part, Part):
            changes: dict[str, Any] = {name: moved(getattr(part, name)) for name in type(part).model_fields}
            if isinstance(part, ModelPart) and (folder / part.folder).is_dir():
                changes["folder"] = str(folder / part.folder)
            return part.model_copy(update=changes)
        if isinstance(part, Path):
            return folder / part
        if isinstance(part, dict):
            return {name: moved(value) for name, value in part.items()}
        return [moved(value) for value in part] if isinstance(part, list) else part

    result: Configuration = moved(configuration)
    return result


def _fault(error: Any) -> Fault:
    """A fault in words, of pydantic's."""
    loc = error["loc"]
    place = [each for number, each in enumerate(loc) if each != "[key]" and not (number == 2 and each in KINDS)]
    key, kind, value = _key(place), error["type"], error["input"]
    if kind == "extra_forbidden":
        known = _known(loc[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        return Fault(key, "is not a key", fix=f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}")
    if kind == "missing":
        return Fault(key, "must be given", got="nothing")
    if kind == "union_tag_not_found":
        return Fault(f"{key}.kind", "must be given: dimse or stow", got="nothing")
    if kind == "union_tag_invalid":
        return Fault(f"{key}.kind", "must be dimse or stow", got=_shown(value.get("kind")))
    context = error.get("ctx", {})
    if kind == "value_error":
        return Fault(key, str(context["error"]), got=_shown(value))
    if kind == "path_type":
        return Fault(key, "must be a path", got=_shown(value))
    rule = re.sub(r"^\w+ should", "must", error["msg"])
    rule = rule.replace("a valid dictionary or instance of", "a table of").replace("valid dictionary", "table")
    return Fault(key, re.sub(r"a table of \w+", "a table", rule), got=_shown(value))


def _known(place: tuple[Any, ...]) -> list[str]:
    """The keys of the table at a place, as pydantic names it: a destination's kind stands behind its name."""
    model: type[BaseModel] = Configuration
    inside = False
    for step in place:
        if inside:  # an index of a list, or a name of a table of tables
            inside = False
        elif step in KINDS:
            model = KINDS[step]
        else:
            annotation = model.model_fields[step].annotation
            inside = get_origin(annotation) in (dict, list)
            model = next(_models(annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def _references(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """What the parts of the file say of each other; parts of a wrong kind are left to pydantic."""
    models, destinations = _table(raw, "models"), _table(raw, "destinations")
    pollers, peers = _table(raw, "pollers"), _tables(raw, "peers")
    titles = [str(each.get("title")) for each in peers]
    if not isinstance(raw.get("listener"), dict) and "listener" not in raw and not pollers:
        yield Fault("listener", "must be given, or a poller, for images to come in", got="neither")
    if isinstance(raw.get("listener"), dict) and not peers and not pollers:
        yield Fault("peers", "must name who may send images", got="nobody", fix='Add [[peers]] with title = "SCANNER"')
    for title in sorted({each for each in titles if titles.count(each) > 1}):
        yield Fault("peers", "must each have a title of its own", got=_shown(title))
    for name in sorted(set(titles) & set(pollers)):
        yield Fault(f"pollers.{name}", "must not be called as a peer is", got=_shown(name))
    for number, route in enumerate(_tables(raw, "routes")):
        key, model = f"routes[{number}]", route.get("model")
        if isinstance(model, str) and model not in models:
            yield Fault(f"{key}.model", f"must be one of models: {_listed(models)}", got=_shown(model))
        for sender in route.get("calling", []) if isinstance(route.get("calling"), list) else []:
            if isinstance(sender, str) and sender not in [*titles, *pollers]:
                rule = f"must be titles of peers or names of pollers: {_listed([*titles, *pollers])}"
                yield Fault(f"{key}.calling", rule, got=_shown(sender))
        seen: list[str] = []
        for place, delivery in enumerate(_tables(route, "to")):
            target = str(delivery.get("destination"))
            if "destination" in delivery and target not in destinations:
                rule = f"must be one of destinations: {_listed(destinations)}"
                yield Fault(f"{key}.to[{place}].destination", rule, got=_shown(target))
            if target in seen:
                yield Fault(f"{key}.to[{place}].destination", "must stand once in a route", got=_shown(target))
            seen.append(target)
    for name, poller in pollers.items():
        if isinstance(poller, dict) and poller.get("client_key") and not poller.get("client_cert"):
            yield Fault(f"pollers.{name}.client_key", "must come with a client_cert", got="a key alone")
    peer_parts = ((f"peers[{number}]", each) for number, each in enumerate(peers))
    for key, part in peer_parts:
        if ("host" in part) != ("port" in part):
            yield Fault(key, "must have host and port, or neither", got="one of them")


def _table(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def _tables(raw: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = raw.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _key(place: list[Any]) -> str:
    text = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)
    return printable(text.removeprefix(".")) or "the file"


def _listed(names: Any) -> str:
    return ", ".join(map(printable, names)) or "none"


def _shown(value: object) -> str:
    text = printable(repr(value))
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
