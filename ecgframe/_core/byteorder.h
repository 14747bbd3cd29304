/* Unaligned loads and stores in network byte order. See byteorder.pxd. */
#ifndef ECGFRAME_BYTEORDER_H
#define ECGFRAME_BYTEORDER_H

#include <Python.h>

#ifndef ECGFRAME_BIG_ENDIAN
#include <stdint.h>
#if defined(_MSC_VER)
#include <stdlib.h>
#define ecgframe_swap16 _byteswap_ushort
#define ecgframe_swap32 _byteswap_ulong
#define ecgframe_swap64 _byteswap_uint64
#else
#define ecgframe_swap16 __builtin_bswap16
#define ecgframe_swap32 __builtin_bswap32
#define ecgframe_swap64 __builtin_bswap64
#endif
#define ECGFRAME_BIG_ENDIAN PY_BIG_ENDIAN
#endif

#endif
