// Asking for memory ahead of its use, a little with every block of a computation, so that it travels meanwhile: a processor's own
// prefetching stops at every tile's edge, and asking for much at once waits like reading.
#pragma once
#include "vector.h"

// `rows` of `columns` places in a map, at most two cache lines each.
typedef struct {
  const float *at;
  int64_t column, row;
  int columns, rows;
} Area;

// Areas asked for from the last to the first, `each` places at a time.
typedef struct {
  Area areas[4];
  int count, column, each;
} Ahead;

INLINE void add_area(Ahead *a, Area area, int64_t offset) {
#if !defined(__wasm__)
  area.at += offset;
  if (area.rows && area.columns) a->areas[a->count++] = area;
#endif
}
// Spreads the areas over `times` calls of ask.
INLINE void spread(Ahead *a, int times) {
  int places = 0;
  for (int i = 0; i < a->count; i++) places += a->areas[i].rows * a->areas[i].columns;
  a->each = times ? (places + times - 1) / times : 0;
}
INLINE void ask(Ahead *a) {
#if !defined(__wasm__)
  for (int i = 0; i < a->each && a->count; i++) {
    Area *area = a->areas + a->count - 1;
    const float *at = area->at + a->column * area->column;
    __builtin_prefetch(at, 0, 2), __builtin_prefetch(at + 16, 0, 2);
    if (++a->column < area->columns) continue;
    a->column = 0, area->at += area->row;
    if (!--area->rows) a->count--;
  }
#else
  (void)a;
#endif
}
