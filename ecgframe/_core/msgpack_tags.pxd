"""Tags of MessagePack: the first byte of each value. FIX tags contain a size or a number in their low bits."""


cdef enum:
    FIXMAP = 0x80                # up to 0x7f, a tag is the number itself
    FIXARRAY = 0x90
    FIXSTR = 0xA0
    NIL = 0xC0
    FALSE = 0xC2
    TRUE = 0xC3
    BIN8 = 0xC4
    BIN16 = 0xC5
    BIN32 = 0xC6
    F32 = 0xCA
    F64 = 0xCB
    U8 = 0xCC
    U16 = 0xCD
    U32 = 0xCE
    U64 = 0xCF
    I8 = 0xD0
    I16 = 0xD1
    I32 = 0xD2
    I64 = 0xD3
    STR8 = 0xD9
    STR16 = 0xDA
    STR32 = 0xDB
    ARRAY16 = 0xDC
    ARRAY32 = 0xDD
    MAP16 = 0xDE
    MAP32 = 0xDF
    NEGATIVE_FIXINT = 0xE0
