"""Messages without their long fields, held against protobuf itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from serve_app.protocol import grpc_wire

RAW = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER


def test_a_message_is_its_fields_one_behind_the_other():
    # field 1: "m"; field 7: two bytes; field 3: "i"; field 7: nothing
    data = b"\x0a\1m" + b"\x3a\2\xff\0" + b"\x1a\1i" + b"\x3a\0"
    head, raw = grpc_wire.without(data, RAW) or (b"", [])
    assert head == b"\x0a\1m\x1a\1i"
    assert [bytes(part) for part in raw] == [b"\xff\0", b""]
    assert pb.ModelInferRequest.FromString(data).raw_input_contents == raw


def test_what_has_no_such_field_stays_as_it_is():
    data = b"\x0a\1m"
    assert grpc_wire.without(data, RAW) == (data, [])
    assert (grpc_wire.without(data, RAW) or (None,))[0] is data


def test_fields_of_fixed_length_and_numbers_are_passed_over():
    fixed = b"\x39" + bytes(8) + b"\x3d" + bytes(4) + b"\x38\xff\1"  # field 7 as three other kinds
    assert grpc_wire.without(fixed + b"\x3a\1x", RAW) == (fixed, [b"x"])


def test_what_is_malformed_is_left_to_protobuf():
    for data in (b"\x3a\5ab", b"\x3a", b"\x3a\xff", b"\x3b", b"\xff" * 11, b"\x39\0"):
        assert grpc_wire.without(data, RAW) is None, data


def test_a_message_of_too_many_fields_is_left_to_protobuf():
    field = b"\x0a\0"
    assert grpc_wire.without(field * grpc_wire.MOST_FIELDS, RAW) is not None
    assert grpc_wire.without(field * (grpc_wire.MOST_FIELDS + 1), RAW) is None


contents = st.lists(st.binary(max_size=300), max_size=4)


@given(st.text(max_size=5), contents, contents)
def test_fields_that_are_taken_and_added_are_those_of_protobuf(name, first, second):
    whole = pb.ModelInferRequest(model_name=name, raw_input_contents=first, id="i")
    parts = grpc_wire.without(whole.SerializeToString(), RAW)
    if not whole.SerializeToString():
        return
    assert parts is not None
    assert parts[1] == first
    added = pb.ModelInferRequest.FromString(grpc_wire.with_fields(parts[0], RAW, [*parts[1], *second]))
    whole.raw_input_contents.extend(second)
    assert added == whole


@given(st.binary(max_size=40))
def test_any_bytes_are_taken_apart_or_left_alone(data):
    parts = grpc_wire.without(data, RAW)
    if parts is not None:
        again = grpc_wire.without(grpc_wire.with_fields(parts[0], RAW, parts[1]), RAW)
        assert again == parts or not data
