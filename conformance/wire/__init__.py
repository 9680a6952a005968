"""The suite's own codec: a second implementation of `spec/wire.md` and of the values of `spec/messaging.md`.

It was written from the specification and shares nothing with the library but the golden vectors, which both
read as they say. It is strict as a receiver is to be, and lets a sender write what it wants. In order of use:

1. `frame.FrameReader` cuts a stream into `frame.Frame`s, and raises `FrameError` where it cannot go on.
2. `message.decode` says what a frame means: a `Message` with the fields of the specification's tables, or a
   `PayloadError` with the stage, code, rule, path and bytes of what is wrong. `message.check` lists all of it.
3. `message.encode` packs a message, right or wrong, in the canonical form. `frame.Frame` alone takes any bytes;
   `packing.Raw`, `Pairs` and `Ext` put bytes, repeated keys and extension codes of any kind into a payload.
4. `describe` shows frames to people: `summary` in a line, `tree` field by field, `hexdump` with carets.

    reader = FrameReader()
    reader.feed(data)
    while frame := reader.next_frame():
        try:
            print(summary(decode(frame)))
        except PayloadError as error:
            print(error)
            print(hexdump(frame.encode(), error.start, error.end, error.path))

How a frame is read: `packed` makes a tree of the payload's msgpack in which every value knows its format and
its bytes; `schema` reads the fields of that tree by the tables in `conformance._protocol`; `value` reads users'
values in it, with the kinds of `extension` and `clock`; `sense` judges what the fields say together; `reading`
puts these stages in their order. None of it recurses with the nesting of a payload, or takes memory for what is
only announced.

What a codec cannot know it does not judge: which types a node admits, which time zones there are, whether the
name on a frame is its sender's. Needs the standard library only.
"""
