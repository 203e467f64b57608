/* Marks between which the emulator counts instructions (firmware/plugin/count.c): hints without a meaning to Cortex-M, and none at all but
 * in the build that is counted. */
#ifndef BITWRIGHT_MARKS_H
#define BITWRIGHT_MARKS_H

#ifdef BW_COUNT
#define BW_MARK(code) __asm__ volatile(".short " code ::: "memory")
#else
#define BW_MARK(code) (void)0
#endif
#define BW_BEGIN_FRAME() BW_MARK("0xbf50")
#define BW_BEGIN_LAYER() BW_MARK("0xbf60")
#define BW_END() BW_MARK("0xbf70")
#define BW_ANSWER() BW_MARK("0xbf80")

#endif
