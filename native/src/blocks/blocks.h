/* Function blocks: what all of them have in common.
 *
 * A block is a plain struct that its owner keeps, zero bytes when new, and one step function that
 * reads and writes that struct and nothing else: no allocation, no clock, no global. Structs have
 * no hidden padding, so their bytes are the whole state and equal states have equal bytes.
 *
 * Time is the scan's: nanoseconds, monotonic, constant within a cycle. A step that is given an
 * earlier time than the one before answers CW_TIME_BACKWARDS and leaves the struct as it is.
 * Blocks that are not measuring time at the moment do not look at it. `clocked` is 0 while
 * `last_ns` means nothing: before the first step, and after a restore under another clock; the
 * interval up to the next step then counts as none.
 *
 * Why C: a bank of 50 PID loops is one call, see tests/benchmarks/test_block_bank.py for the ratio
 * to Python and numpy. Single blocks would be faster in Python, but have one meaning this way. */
#ifndef CW_BLOCKS_H
#define CW_BLOCKS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CW_TIME_BACKWARDS = -1, /* now_ns lies before that of the previous step */
    CW_BAD_PARAMETER = -2,  /* limits crossed, an array missing, a filter of no width */
    CW_HELD = 1             /* an input is not a finite number: the output keeps its value */
};

#endif
