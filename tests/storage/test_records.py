"""Records: what a file proves when it is cut, flipped or zeroed anywhere (STORE-3 to STORE-8)."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from struct import pack, unpack_from
from zlib import crc32

import pytest

from casty.storage.records import SECTOR_BYTES, Chain, Damage, Record, RecordType, scan, scan_one


def written(*payloads: bytes) -> bytes:
    """A file with these payloads, the first of them its header."""
    chain = Chain()
    types = [RecordType.SEGMENT] + [RecordType.CHANGES] * (len(payloads) - 1)
    return b"".join(chain.append(kind, payload) for kind, payload in zip(types, payloads, strict=True))


def payloads_in(data: bytes) -> list[bytes]:
    return [bytes(record.payload) for record in scan(data).records]


def damage_in(data: bytes) -> Damage:
    damage = scan(data).damage
    assert damage is not None
    return damage


def offsets_in(data: bytes) -> list[int]:
    """Where the records of a whole file begin, and where the next would."""
    found = scan(data)
    assert found.damage is None
    return [*(record.offset for record in found.records), found.chain.offset]


def zeroed(data: bytes, start: int, end: int) -> bytes:
    return data[:start] + bytes(end - start) + data[end:]


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


SMALL = written(b"header", b"one" * 7, b"two" * 50, b"three" * 3)
LARGE = written(b"header", b"1" * 700, Random(1).randbytes(2600))
"""Its last record begins in the middle of a sector, and ends in the middle of the sixth."""


def test_a_record_is_laid_out_as_the_specification_says() -> None:
    """STORE-3: length, type, blanks, checksum, seal, payload and padding, in network byte order."""
    data = written(b"head", b"0123456789abcdef")
    first, second = data[:32], data[32:]
    assert first[16:] == b"head" + b"\x0c" * 12
    assert second[16:] == b"0123456789abcdef" + b"\x10" * 16
    assert unpack_from("!IB", first) == (16, ord("L"))
    assert unpack_from("!IB", second) == (32, ord("W"))
    assert first[5:8] == second[5:8] == b"\0\0\0"
    checksum = crc32(first[16:])
    assert unpack_from("!I", first, 8) == (checksum,)
    assert unpack_from("!I", second, 8) == (crc32(first[16:] + second[16:]),)
    assert unpack_from("!I", first, 12) == (crc32(first[:12] + pack("!Q", 0)),)
    assert unpack_from("!I", second, 12) == (crc32(first[16:] + second[:12] + pack("!Q", 32)),)


def test_what_was_written_is_read() -> None:
    """STORE-3: of every length, so with every padding."""
    payloads = [bytes([n]) * n for n in range(50)]
    data = written(*payloads)
    assert payloads_in(data) == payloads
    assert scan(data).chain.offset == len(data)


def test_a_scan_can_be_continued_by_an_append() -> None:
    """STORE-3: the chain at the end of a scan is the one the writer had."""
    chain = scan(SMALL).chain
    more = SMALL + chain.append(RecordType.CHANGES, b"four")
    assert payloads_in(more) == [*payloads_in(SMALL), b"four"]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_file_cut_anywhere_is_torn_where_the_last_record_begins(data: bytes) -> None:
    """STORE-6: a last record that is shorter than its length says is torn; what is before it is whole."""
    offsets = offsets_in(data)
    for number, (start, end) in enumerate(pairwise(offsets)):
        for size in range(start, end):
            found = scan(data[:size])
            assert [record.offset for record in found.records] == offsets[:number]
            assert found.chain.offset == start
            if any(data[start:size]):  # where only zeros are left of it, nothing was written
                assert found.damage is not None
                assert (found.damage.offset, found.damage.torn) == (start, True)
            else:
                assert found.damage is None


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("room", [0, 600], ids=["to the end", "with room"])
def test_any_flipped_bit_is_corruption(data: bytes, room: int) -> None:
    """STORE-7: in any record, the last one included, at any place in it, with the offset of that record."""
    offsets = offsets_in(data)
    for start, end in pairwise(offsets):
        for at in range(start, end):
            for bit in range(8) if data is SMALL else (at % 8,):
                damage = damage_in(flipped(data, at, bit) + bytes(room))
                assert (damage.offset, damage.torn) == (start, False)


def test_zeros_after_the_last_record_are_room() -> None:
    """STORE-5: any number of them, for a file grows by zeros ahead of its records."""
    for count in (1, 15, 16, 17, 511, 512, 5000):
        assert scan(SMALL + bytes(count)).damage is None
        assert payloads_in(SMALL + bytes(count)) == payloads_in(SMALL)


def sectors_of(data: bytes, start: int) -> list[tuple[int, int]]:
    """The sectors, or parts of one, from `start` on."""
    edges = [start, *range(start - start % SECTOR_BYTES + SECTOR_BYTES, len(data), SECTOR_BYTES), len(data)]
    return list(pairwise(edges))


@pytest.mark.parametrize("room", [0, 600], ids=["to the end", "with room"])
def test_a_last_record_without_some_of_its_sectors_is_torn(room: int) -> None:
    """STORE-6: whichever of its sectors are missing, the one of its header included."""
    start = offsets_in(LARGE)[-2]
    sectors = sectors_of(LARGE, start)
    for choice in range(1, 2 ** len(sectors)):
        data = LARGE
        for number, (first, last) in enumerate(sectors):
            if choice >> number & 1:
                data = zeroed(data, first, last)
        found = scan(data + bytes(room))
        assert found.chain.offset == start
        if choice + 1 < 2 ** len(sectors):
            assert found.damage is not None
            assert (found.damage.offset, found.damage.torn) == (start, True)
        else:
            assert found.damage is None  # nothing of it arrived, so there is nothing to cut


def test_an_older_record_without_some_of_its_sectors_is_corrupt() -> None:
    """STORE-7: what is followed by a record was durable, for each was synced before the next was written."""
    data = LARGE + scan(LARGE).chain.append(RecordType.CHANGES, b"later" * 200)
    start = offsets_in(LARGE)[-2]
    for first, last in sectors_of(LARGE, start)[:-1]:  # the last one would take the next header along
        damage = damage_in(zeroed(data, first, last))
        assert (damage.offset, damage.torn) == (start, False)


def test_a_zero_header_in_a_sector_that_is_not_zero_is_corrupt() -> None:
    """STORE-7: a sector is written whole or not at all, so no crash leaves that."""
    start = offsets_in(LARGE)[-2]
    damage = damage_in(zeroed(LARGE, start, start + 16))
    assert (damage.offset, damage.torn) == (start, False)


def test_a_payload_of_zeros_is_not_taken_for_lost_sectors() -> None:
    """STORE-4: the header counts the sectors that are zeros on purpose; damage beside them is corruption."""
    for zeros in (511, 512, 1023, 5000):
        data = written(b"header", b"a" * 333 + bytes(zeros) + b"z" * 333)
        start = offsets_in(data)[-2]
        assert scan(data).damage is None
        for at in (*range(start + 16, start + 64), len(data) - 20):
            damage = damage_in(flipped(data, at, 0))
            assert (damage.offset, damage.torn) == (start, False)
        lost = sectors_of(data, start)[-1]
        assert damage_in(zeroed(data, *lost)).torn


def test_a_record_that_was_lost_repeated_or_moved_is_corruption() -> None:
    """STORE-3: the checksums are chained, and the seal holds the offset."""
    first, second = written(b"header", b"same"), written(b"header", b"same", b"same")
    start = len(first)
    record, repeated = first[start - 32 :], second[start:]
    header = first[: start - 32]
    for data in (header + repeated, first + record, header + bytes(32) + record):
        assert not damage_in(data).torn


def test_a_record_of_another_file_does_not_fit() -> None:
    """STORE-3: the checksum of a file's first record goes into all others."""
    mine, other = written(b"header of a", b"payload"), written(b"header of b", b"payload")
    damage = damage_in(mine[:32] + other[32:])
    assert (damage.offset, damage.torn) == (32, False)


def test_a_payload_that_holds_a_copy_of_a_log_is_not_taken_for_the_log() -> None:
    """STORE-6: when its first sector is lost, no record is seen in it, for none has its place there."""
    start = offsets_in(LARGE)[-2]
    data = LARGE[:start]
    chain = scan(data).chain
    data += chain.append(RecordType.CHANGES, b"." * 500 + LARGE + LARGE)
    assert damage_in(zeroed(data, *sectors_of(data, start)[0])).torn


def sealed(length: int, kind: int) -> bytes:
    """A header that was sealed by somebody who knows more types than we do."""
    front = pack("!III", length, kind << 24, 0)
    return front + pack("!I", crc32(front + pack("!Q", 0))) + bytes([16]) * 32


@pytest.mark.parametrize(("length", "kind"), [(16, 0x58), (17, ord("L")), (0, ord("L"))])
def test_a_header_that_no_version_writes_is_corruption(length: int, kind: int) -> None:
    """STORE-3: types are known, and lengths are multiples of 16 above 0."""
    damage = damage_in(sealed(length, kind))
    assert (damage.offset, damage.torn) == (0, False)
    assert f"record of type {kind} and length {length}" in damage.text


def test_one_record_is_read_from_the_front_of_anything() -> None:
    """STORE-14: the record of a snapshot file is followed by data of any kind."""
    record, end = scan_one(written(b"header") + b"data")
    assert (record.type, bytes(record.payload), end) == (RecordType.SEGMENT, b"header", 32)
    with pytest.raises(ValueError, match="no whole record at offset 0: 15 bytes of a header of 16"):
        scan_one(written(b"header")[:15])


def test_a_record_longer_than_its_length_can_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """STORE-3: before the chain has moved, so that the next record still fits."""
    monkeypatch.setattr("casty.storage.records.PAYLOAD_BYTES_MAX", 64)
    chain = Chain()
    with pytest.raises(ValueError, match="record of 80 bytes; the limit is 64"):
        chain.append(RecordType.SEGMENT, bytes(64))
    assert chain == Chain()


def test_records_say_what_and_where_they_are() -> None:
    """STORE-3."""
    first, second = scan(written(b"header", b"one")).records
    assert first == Record(0, RecordType.SEGMENT, memoryview(b"header"))
    assert second == Record(32, RecordType.CHANGES, memoryview(b"one"))
