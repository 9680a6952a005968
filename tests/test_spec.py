"""The specification agrees with itself: what is generated is fresh, and golden vectors are what they claim."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.wire.vectors import INVALID, VALID, Vector, id_of, plain, unpacked, wire_of

SPEC = Path(__file__).resolve().parents[1] / "spec"
PROTOCOL: dict[str, Any] = tomllib.loads((SPEC / "protocol.toml").read_text())
RULES = {rule["id"]: rule for rule in PROTOCOL["rules"]}


def script(name: str) -> Any:
    """One of the scripts in `spec`, as a module."""
    if str(SPEC) not in sys.path:
        sys.path.insert(0, str(SPEC))
    return importlib.import_module(name)


# What is generated.


@pytest.mark.parametrize("name", ["generate", "make_vectors"])
def test_nothing_generated_is_stale(name: str) -> None:
    """protocol.toml is the source: of constants, tables, schemas; the makers, of the vectors."""
    done = subprocess.run(
        [sys.executable, str(SPEC / f"{name}.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_stale_is_named_with_the_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check exits with 1 and writes nothing; without it, everything is written, and then fresh."""
    spec = copy_of_spec(tmp_path)
    generate = script("generate")
    protocol = spec / "protocol.toml"
    protocol.write_text(protocol.read_text().replace("value = 16777216", "value = 4194304"))
    assert generate.main(["--check"], spec) == 1
    said = capsys.readouterr().err
    assert "casty/wire/_protocol.py is stale" in said
    assert "-FRAME_BYTES_MAX: Final = 16777216\n+FRAME_BYTES_MAX: Final = 4194304" in said
    assert generate.main([], spec) == 0
    assert "wrote casty/wire/_protocol.py" in capsys.readouterr().out
    assert generate.main(["--check"], spec) == 0
    assert "FRAME_BYTES_MAX: Final = 4194304" in (tmp_path / "casty" / "wire" / "_protocol.py").read_text()


def copy_of_spec(folder: Path) -> Path:
    """The specification with what is generated from it, below an empty folder."""
    for name in ("protocol.toml", "schemas", "vectors", *(page.name for page in SPEC.glob("*.md"))):
        source = SPEC / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, ensured(folder / "spec") / name)
    shutil.copy(SPEC.parent / "casty" / "wire" / "_protocol.py", ensured(folder / "casty" / "wire"))
    return folder / "spec"


def ensured(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('id = "VOTE-2"', 'id = "VOTE-1"', "rule id VOTE-1: 2 times; expected once"),
        ('id = "VOTE-2"', 'id = "Vote2"', "rule Vote2: expected an id like VOTE-3"),
        ("id = 17\n", "id = 10\n", "type PING: expected an id 1 … 255 not reserved"),
        ("id = 17\n", "id = 16\n", "type id 16: 2 times; expected once"),
        ('name = "PING"', 'name = "ERROR"', "type name ERROR: 2 times; expected once"),
        ('reply = "PING"', 'reply = "PONG"', "type PING: expected a reply that exists, not PONG"),
        (
            'name = "pong", type = "bool"',
            'name = "pong", type = "boolean"',
            "PING.pong: expected a type that exists",
        ),
        (
            'type = "list<entry>"',
            'type = "list<entries>"',
            "entries: expected a type that exists, not list<entries>",
        ),
        ('frame_name = "empty"', 'frame_name = "none"', "type ASK_RES: expected frame_name one of actor, node"),
        ('page = "messaging"', 'page = "message"', "rule MSG-1: expected page one of wire, messaging"),
        ('level = "SHOULD"', 'level = "MAY"', "rule PAYLOAD-7: expected level one of MUST, SHOULD"),
        (
            'connection = "keep"',
            'connection = "stay"',
            "error UNKNOWN_FRAME_TYPE: expected connection close or keep",
        ),
        (
            'happened = "yes"',
            'happened = "sure"',
            "ask error BAD_REPLY: expected happened one of no, maybe, yes",
        ),
        ("code = 14\n", "code = 13\n", "extension code 13: 2 times; expected once"),
        ("value = 1024\n", "value = 0\n", "limit peers_max: expected a positive value"),
        (
            "is BAD_NAME and",
            "is BAD_NAMES and",
            "rule FRAME-3: expected no name that nothing has, such as BAD_NAMES",
        ),
        (
            "The one exception is FORM-9.",
            "The one exception is FORM-99.",
            "rule FORM-7: expected no rule FORM-99",
        ),
        (
            'forms = ["hello", "peers"]',
            'forms = ["hello"]',
            "type PEER_LIST: forms = ['hello'] is not what follows",
        ),
        ('name = "found", type', 'nam = "found", type', "unexpected keyword argument 'nam'"),
        ("reserved_types", "reserved_tipes", "protocol.toml: 'reserved_types'"),
    ],
)
def test_a_source_without_sense_is_refused(old: str, new: str, problem: str, tmp_path: Path) -> None:
    """Ids are used once, and what is named exists."""
    spec = copy_of_spec(tmp_path)
    protocol = spec / "protocol.toml"
    text = protocol.read_text()
    assert old in text
    protocol.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(problem)):
        list(script("generate").generated(spec))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<!-- generated: nothing -->\n<!-- end -->", "nothing is generated by the name 'nothing'"),
        (
            "<!-- generated: fields NOTHING -->\n<!-- end -->",
            "nothing is generated by the name 'fields NOTHING'",
        ),
        ("<!-- generated: rules nowhere -->\n<!-- end -->", "nothing is generated by the name 'rules nowhere'"),
        ("<!-- generated: types -->\n", "needs its <!-- end -->"),
        ("<!-- end -->", "needs its <!-- end -->"),
    ],
)
def test_a_marker_without_sense_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    """A page says by name what is to stand in it."""
    spec = copy_of_spec(tmp_path)
    (spec / "page.md").write_text(text)
    with pytest.raises(ValueError, match=problem):
        list(script("generate").generated(spec))


def test_every_rule_has_its_place_on_its_page() -> None:
    """spec/raft.md#vote-3 leads to VOTE-3, on every page that is written."""
    for rule in RULES.values():
        page = SPEC / f"{rule['page']}.md"
        if page.exists() and "<!-- generated: rules" in page.read_text():
            assert f"\n### {rule['id']}\n" in page.read_text()


# Schemas.


def test_the_cddl_is_whole() -> None:
    """Every name is defined once, and every name that is used is defined."""
    text = re.sub(r";.*", "", (SPEC / "schemas" / "casty.cddl").read_text())
    defined = re.findall(r"^([a-z][a-z0-9-]*) =", text, re.MULTILINE)
    assert [name for name, times in Counter(defined).items() if times > 1] == []
    without_strings = re.sub(r'"[^"]*"', "", text)
    members = set(re.findall(r"([a-z][a-z0-9-]*):", without_strings))
    used = set(re.findall(r"[a-z][a-z0-9-]*", re.sub(r"\.size|[a-z][a-z0-9-]*:", "", without_strings)))
    assert used - set(defined) - members == {"any", "bool", "bstr", "tstr"}
    assert all(text.count(one) == text.count(other) for one, other in ("{}", "[]", "()"))
    assert {type["name"].lower().replace("_", "-") for type in PROTOCOL["types"] if "forms" not in type} <= set(
        defined
    )


def invalid_by(schema: dict[str, Any], value: Any, root: dict[str, Any], place: str = "$") -> list[str]:
    """Where the value breaks the JSON Schema; as much of it as these schemas use."""
    if "$ref" in schema:
        return invalid_by(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, place)
    if "oneOf" in schema:
        fits = [one for one in schema["oneOf"] if not invalid_by(one, value, root, place)]
        return [] if len(fits) == 1 else [f"{place}: {value!r:.60} fits {len(fits)} of the alternatives"]
    wrong: list[str] = []
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    expected = schema.get("type", [])
    types = [kinds[kind] for kind in ([expected] if isinstance(expected, str) else expected)]
    if types and type(value) not in types:
        return [f"{place}: {value!r:.60} is no {expected}"]
    if "const" in schema and value != schema["const"]:
        wrong.append(f"{place}: {value!r:.60} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{place}: {value!r:.60} is none of the choices")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        wrong.append(f"{place}: {value!r:.60} is not like {schema['pattern']}")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0) or len(value) > schema.get("maxItems", len(value)):
            wrong.append(f"{place}: {len(value)} items")
        for at, item in enumerate(value):
            wrong += invalid_by(schema.get("items", {}), item, root, f"{place}[{at}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        wrong += [f"{place}.{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            other = schema.get("additionalProperties", {})
            if name not in properties and other is False:
                wrong.append(f"{place}.{name} is not expected")
            elif not re.search(schema.get("propertyNames", {}).get("pattern", ""), name):
                wrong.append(f"{place}.{name} cannot be called that")
            else:
                wrong += invalid_by(properties.get(name, other), item, root, f"{place}.{name}")
    return wrong


@pytest.mark.parametrize(
    "path", sorted((SPEC / "vectors").glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_vector_files_are_as_their_schema_says(path: Path) -> None:
    """So that another language's tests can rely on it."""
    schema = json.loads((SPEC / "schemas" / "vectors.json").read_text())
    assert invalid_by(schema, json.loads(path.read_text()), schema) == []


# Vectors.


def test_ids_are_used_once_and_rules_exist() -> None:
    """Lists of vectors, such as those of expected failures, rest on their ids."""
    vectors = VALID + INVALID
    assert [id for id, times in Counter(map(id_of, vectors)).items() if times > 1] == []
    assert {rule for vector in vectors for rule in vector["rules"]} <= RULES.keys()
    for vector in vectors:
        assert "".join(vector.get("chunks", [vector["wire"]])) == vector["wire"], vector["id"]


def test_the_vectors_of_kv_are_whole() -> None:
    """KV-4 to KV-6: each command is the bytes of its JSON, with a value or an error; the digest is the hash."""
    vectors = json.loads((SPEC / "vectors" / "kv.json").read_text())["vectors"]
    assert [id for id, times in Counter(map(id_of, vectors)).items() if times > 1] == []
    for vector in vectors:
        assert set(vector["rules"]) <= RULES.keys()
        assert hashlib.sha256(bytes.fromhex(vector["snapshot"])).hexdigest() == vector["sha256"]
        for step in vector["commands"]:
            assert repr(unpacked(bytes.fromhex(step["data"]))) == repr(plain(step["command"])), vector["id"]
            assert step.keys() - {"command", "data"} in ({"value"}, {"error"})


def test_every_rule_of_the_wire_has_a_vector() -> None:
    """FRAME-*, PAYLOAD-*, VALUE-*: each is shown by bytes."""
    shown = {rule for vector in VALID + INVALID for rule in vector["rules"]}
    wanted = {id for id in RULES if id.startswith(("FRAME-", "PAYLOAD-", "VALUE-"))}
    assert wanted - shown == set()


def test_every_type_and_extension_and_error_has_a_vector() -> None:
    """What the tables list, the vectors show: each type of frame, extension value, and code of an ask."""
    assert {type["id"] for type in PROTOCOL["types"]} == {vector["frame"]["type"] for vector in VALID}
    text = json.dumps([vector["frame"] for vector in VALID])
    codes = {int(code) for code in re.findall(r'"\$ext": \{"code": (\d+)', text)}
    assert {extension["code"] for extension in PROTOCOL["extensions"]} <= codes
    assert all(f'"{error["code"]}"' in text for error in PROTOCOL["ask_errors"])


@pytest.mark.parametrize(
    "vectors", [VALID, [v for v in INVALID if v["stage"] == "semantic"]], ids=["valid", "semantic"]
)
def test_what_is_not_wrong_in_its_fields_fits_the_tables(vectors: list[Vector]) -> None:
    """The stages are told apart by the tables alone, read anew here."""
    for vector in vectors:
        if vector["wire"].startswith("09") or vector["id"] == "BAD-FIRST-VERSION-ALONE":
            continue  # the legacy type has any payload; and nobody knows the hellos of version 2
        assert misfits(vector) == [], vector["id"]


def test_what_is_wrong_in_its_fields_does_not_fit_the_tables() -> None:
    """Otherwise a vector would show something else than it says."""
    for vector in INVALID:
        if vector["stage"] == "schema" and vector["error"] == ["BAD_PAYLOAD"]:
            assert misfits(vector) != [], vector["id"]


def misfits(vector: Vector) -> list[str]:
    """Where the payload breaks the tables of its type."""
    wire = wire_of(vector)
    payload_start = 7 + int.from_bytes(wire[1:3])
    payload = msgpack.unpackb(
        wire[payload_start:],
        strict_map_key=False,
        object_pairs_hook=hashable_map,
        ext_hook=lambda code, body: (code, body),
    )
    [type] = [type for type in PROTOCOL["types"] if type["id"] == wire[0]]
    if "payload" in type:
        return []
    if "form" not in type:
        return map_misfits(type["fields"], payload)
    form = vector.get("form", "peers")
    return map_misfits(next(shape["fields"] for shape in type["form"] if shape["name"] == form), payload)


def hashable_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return {repr(key) if isinstance(key, dict | list) else key: value for key, value in pairs}


def map_misfits(fields: list[dict[str, Any]], value: Any) -> list[str]:
    if not isinstance(value, dict):
        return ["no map"]
    missing = [field["name"] for field in fields if not field.get("optional") and field["name"] not in value]
    keys = [f"key {key!r}" for key in value if not isinstance(key, str)]
    present = [field for field in fields if field["name"] in value]
    return missing + keys + [field["name"] for field in present if not fits(field, value[field["name"]])]


def fits(field: dict[str, Any], value: Any) -> bool:
    """Whether a value is of the field's type, as the header of the table of types describes it."""
    kind = field["type"]
    structs = {struct["name"]: struct for struct in PROTOCOL["structs"]}
    if kind.startswith("list<"):
        return isinstance(value, list) and all(fits({"type": kind[5:-1]}, item) for item in value)
    if kind in structs:
        members = structs[kind]["fields"]
        if structs[kind]["form"] == "map":
            return not map_misfits(members, value)
        return (
            isinstance(value, list)
            and len(value) == len(members)
            and all(fits(member, item) for member, item in zip(members, value, strict=True))
        )
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return {
        "u63": is_int and 0 <= value < 2**63,
        "u64": is_int and 0 <= value < 2**64,
        "bool": isinstance(value, bool),
        "str": isinstance(value, str) and value in field.get("enum", [value]),
        "bin": isinstance(value, bytes),
        "bin16": isinstance(value, bytes) and len(value) == 16,
        "value": True,
    }[kind]
