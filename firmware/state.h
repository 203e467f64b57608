/* What the files of the interface share. */
#ifndef BITWRIGHT_STATE_H
#define BITWRIGHT_STATE_H
#include "bitwright.h"

extern bw_model bw_loaded;
extern int bw_status; /* of bw_init; -1 before */
extern int16_t bw_logits[BW_CLASSES];

/* input.c: makes ready for what comes in; a BW_ status. */
int bw_open_input(void);
/* All layers on the input that lies in the arena. */
void bw_run_layers(void);
/* After each new logits. */
void bw_take_answer(void);
/* detector.c: the scores of an answer, 65535 standing for one; and forgetting them. */
void bw_judge(const uint16_t *scores);
void bw_forget_scores(void);

#endif
