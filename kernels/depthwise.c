// Depthwise convolution, forward and backward, one tile of one sample at a time: a block of outputs of up to GROUP vectors of channels
// with the inputs that they read. A tile is gathered into contiguous zero-bordered scratch (with what is pending on it applied), a strip
// for each vector of channels, where every tap is one aligned load.
//
// Strides disappear in the gathering: columns of equal remainder modulo strideX (a phase) lie side by side, so that neighbouring
// outputs always read neighbouring columns. The input gradient splits the same way. What is left everywhere is a plain correlation.
#include "depthwise-tile.h"

// A tile's inputs, transformed; x is the group's in its sample. The border is zero already.
static void gather(const Layer *l, const Tile *tile, const float *x, Group group, float *strips) {
  Transform t = l->transform;
  if (t.scale) t.scale += group.channel, t.offset += group.channel;
  Part rows = tile_rows(l, tile), columns = tile_columns(l, tile);
  Strips to = {l->strideX, tile->columns * LANES, tile->row, tile->strip};
  const float *from = x + rows.first * l->rowStride + (int64_t)columns.first * l->channels;
  transform_strips(&t, from, l->channels, l->rowStride, &to, strips + rows.position * tile->row, columns.position, rows.count, columns.count, group.vectors);
}

// args: the layer's (layer.h), batch-norm sums, rows and columns of a tile
void k_depthwise(Task *task) {
  Layer l = read_layer(task);
  int stats = task->arg[25], c = l.channels, first, last;
  Tile tile;
  read_tile(&tile, &l, task->arg[26], task->arg[27]);
  float *strips = task->scratch;
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    float *total = stats == NONE ? 0 : task->heap + stats + (int64_t)chunk * 2 * c;
    if (total) clear(total, 2 * c);
    EACH_TILE(&tile) {
      Area x = input_area(&l, &tile, l.x), y = output_area(&l, &tile, l.y);
      clear(strips, GROUP * tile.strip);
      for (Group group = group_at(&l, begin, 0), next; group.sample < end; group = next) {
        next = next_group(&l, group);
        gather(&l, &tile, l.x + input_offset(&l, group), group, strips);
        Ahead ahead = {0};
        if (next.sample < end) add_area(&ahead, y, output_offset(&l, next)), add_area(&ahead, x, input_offset(&l, next));
        spread(&ahead, group.vectors * y.rows * blocks_of(y.columns));
        for (int v = 0; v < group.vectors; v++) {
          int channel = group.channel + v * LANES;
          V sums[2] = {zero(), zero()};
          const float *from = strips + v * tile.strip;
          float *to = l.y + output_offset(&l, group) + output_begin(&l, &tile) + v * LANES;
          for (int o = 0; o < y.rows; o++, from += l.strideY * tile.row, to += y.row)
            correlate_row(&tile.runs, y.columns, from, l.weights + (int64_t)channel * l.taps, to, c, total ? sums : 0, &ahead);
          if (total) store(total + channel, load(total + channel) + sums[0]), store(total + c + channel, load(total + c + channel) + sums[1]);
        }
      }
    }
  }
}

INLINE void gather_gradient_(int nv, const float *coefficients, int c, const float *g, const float *y, int64_t row, float *to, int64_t rowG, int64_t strip, int rows, int columns) {
  V c1[4], c2[4], c3[4];
  if (coefficients) UNROLL for (int j = 0; j < nv; j++) {
    const float *own = coefficients + j * LANES;
    c1[j] = load(own), c2[j] = load(own + c), c3[j] = load(own + 2 * c);
  }
  for (int r = 0; r < rows; r++, to += rowG, g += row, y += row) {
    const float *ownG = g, *ownY = y;
    float *own = to;
    for (int i = 0; i < columns; i++, ownG += c, ownY += c, own += LANES)
      UNROLL for (int j = 0; j < nv; j++) {
        V d = load(ownG + j * LANES);
        store(own + j * strip, coefficients ? fma_(d, c1[j], fma_(load(ownY + j * LANES), c2[j], c3[j])) : d);
      }
  }
}
// The output gradient of a tile, dy = c1 g + c2 y + c3, and of its margins. Coefficients: three arrays of l->channels, or 0.
static void gather_gradient(const Layer *l, const Tile *tile, const float *coefficients, const float *g, const float *y, int vectors, float *to) {
  const Axis *ay = &tile->y, *ax = &tile->x;
  int c = l->channels;
  Part rows = inside(ay->at - margin(ay), margin(ay) + ay->length + end_margin(ay), 1, ay->out);
  Part columns = inside(ax->at - margin(ax), margin(ax) + ax->length + end_margin(ax), 1, ax->out);
  int64_t at = ((int64_t)rows.first * l->outWidth + columns.first) * c;
  to += rows.position * tile->rowG + columns.position * LANES, g += at, y += at;
  for (int done = 0, n; done < vectors; done += n) {
    n = vectors - done >= 4 ? 4 : vectors - done >= 2 ? 2 : 1;
#define CASE(nv) gather_gradient_(nv, coefficients, c, g, y, (int64_t)l->outWidth * c, to, tile->rowG, tile->gradient, rows.count, columns.count)
    switch (n) { case 4: CASE(4); break; case 2: CASE(2); break; default: CASE(1); }
#undef CASE
    g += n * LANES, y += n * LANES, to += n * tile->gradient;
    if (coefficients) coefficients += n * LANES;
  }
}

// The gradient of the tile's inputs from that of its outputs, one vector of channels: [rows][columns][ld]
static void input_gradient(const Layer *l, const Tile *tile, const float *g, const float *w, float *ds, int64_t ld, Ahead *ahead) {
  Part ownRows = own_inputs(&tile->y), own = own_inputs(&tile->x);
  Runs runs = {.weightStep = -l->strideX * LANES};
  for (int i = 0; i < l->strideX; i++)
    for (int j = 0; j < l->strideY; j++) {
      // every strideX-th column and strideY-th row meet the same taps; columns ascend, so a kernel row's last tap comes first
      Part columns = inside(tile->x.at * l->strideX + i, tile->x.length, l->strideX, l->width);
      Part rows = inside(tile->y.at * l->strideY + j, tile->y.length, l->strideY, l->height);
      int phase = (i + l->left) % l->strideX, tap = (j + l->top) % l->strideY;
      int taps = phase < l->kernelWidth ? (l->kernelWidth - phase - 1) / l->strideX + 1 : 0;
      int kernelRows = tap < l->kernelHeight ? (l->kernelHeight - tap - 1) / l->strideY + 1 : 0;
      runs.count = 0;
      if (taps) add_runs(&runs, taps, kernelRows, -(taps - 1) * LANES, (int)-tile->rowG, (tap * l->kernelWidth + phase) * LANES - (taps - 1) * runs.weightStep, l->strideY * l->kernelWidth * LANES);
      const float *from = g + tile->origin + (j + l->top) / l->strideY * tile->rowG + (i + l->left) / l->strideX * LANES;
      float *to = ds + ((int64_t)(rows.first - ownRows.first) * own.count + columns.first - own.first) * ld;
      for (int r = 0; r < rows.count; r++, from += tile->rowG, to += (int64_t)l->strideY * own.count * ld)
        correlate_row(&runs, columns.count, from, w, to, l->strideX * ld, 0, ahead);
    }
}

// The gradient of a tile's inputs through what is pending on them, into d x and the sums. ds: [rows][columns][vectors of the group].
static void finish_inputs(const Layer *l, const Tile *tile, Group group, const float *ds, float *dx, const BackwardSums *sums) {
  Part rows = own_inputs(&tile->y), columns = own_inputs(&tile->x);
  int c = l->channels, width = group.vectors * LANES, whole = columns.count == l->width; // then rows follow each other
  Transform t = l->transform;
  if (t.scale) t.scale += group.channel, t.offset += group.channel;
  float part[2 * GROUP * LANES] = {0};
  BackwardSums own = *sums;
  if (sums->stats) own.stats = part, own.ldStats = width;
  for (int r = 0; r < (whole ? 1 : rows.count); r++) {
    int64_t at = input_offset(l, group) + (rows.first + r) * (int64_t)l->rowStride + (int64_t)columns.first * c;
    transform_backward(&t, ds + (int64_t)r * columns.count * width, width, l->x + at, c, dx + at, c, columns.count * (whole ? rows.count : 1), width, &own);
  }
  if (sums->stats) add_to(sums->stats + group.channel, part, width), add_to(sums->stats + c + group.channel, part + width, width);
}

// args: the layer's (layer.h), gradient of the output, coefficients, partial weight gradients, d x, accumulate, stats, quantizer sums,
// rows and columns of a tile
void k_depthwise_backward(Task *task) {
  Layer l = read_layer(task);
  const int32_t *a = task->arg;
  float *heap = task->heap;
  const float *coefficients = a[26] == NONE ? 0 : heap + a[26];
  int c = l.channels, first, last;
  Tile tile;
  read_tile(&tile, &l, a[32], a[33]);
  float *strips = task->scratch, *gradients = strips + GROUP * tile.strip, *ds = gradients + GROUP * tile.gradient;
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    float *dw = a[27] == NONE ? 0 : heap + a[27] + (int64_t)chunk * l.taps * c; // [groups of LANES channels][taps][LANES]
    float *dx = a[28] == NONE ? 0 : heap + a[28];
    BackwardSums sums = {.stats = a[30] == NONE ? 0 : heap + a[30] + (int64_t)chunk * 2 * c, .ldStats = c, .quantizerSums = a[31] == NONE ? 0 : heap + a[31] + (int64_t)chunk * 3 * LANES, .accumulate = a[29]};
    if (dw) clear(dw, (int64_t)l.taps * c);
    if (sums.stats && !sums.accumulate) clear(sums.stats, 2 * c);
    if (sums.quantizerSums) clear(sums.quantizerSums, 3 * LANES);
    EACH_TILE(&tile) {
      Area x = input_area(&l, &tile, l.x), g = output_area(&l, &tile, heap + a[25]), y = output_area(&l, &tile, l.y);
      int blocks = dx ? own_inputs(&tile.y).count * l.strideX * blocks_of(tile.x.length) : 0;
      clear(strips, GROUP * (tile.strip + tile.gradient));
      for (Group group = group_at(&l, begin, 0), next; group.sample < end; group = next) {
        next = next_group(&l, group);
        int64_t at = output_offset(&l, group);
        gather_gradient(&l, &tile, coefficients ? coefficients + group.channel : 0, heap + a[25] + at, l.y + at, group.vectors, gradients);
        Ahead ahead = {0};
        if (next.sample < end) {
          if (coefficients) add_area(&ahead, y, output_offset(&l, next));
          add_area(&ahead, g, output_offset(&l, next)), add_area(&ahead, x, input_offset(&l, next));
        }
        if (dx) add_area(&ahead, input_area(&l, &tile, dx), input_offset(&l, group));
        spread(&ahead, group.vectors * blocks);
        if (dw) {
          gather(&l, &tile, l.x + input_offset(&l, group), group, strips);
          for (int v = 0; v < group.vectors; v++)
            weight_gradients(&tile.runs, strips + v * tile.strip, l.strideY * tile.row, gradients + v * tile.gradient + tile.origin, tile.rowG, y.rows, y.columns,
                             dw + (int64_t)(group.channel + v * LANES) * l.taps);
        }
        if (!dx) continue;
        for (int v = 0; v < group.vectors; v++)
          input_gradient(&l, &tile, gradients + v * tile.gradient, l.weights + (int64_t)(group.channel + v * LANES) * l.taps, ds + v * LANES, group.vectors * LANES, &ahead);
        finish_inputs(&l, &tile, group, ds, dx, &sums);
      }
    }
  }
}

// args: weights [taps][channels], taps, channels, to, index. To: [groups of LANES channels][taps][LANES].
void k_pack_depthwise(Task *task) {
  const int32_t *a = task->arg;
  int taps = a[1], channels = a[2];
  if (a[4] % task->threads != task->thread) return;
  float *o = task->heap + a[3];
  for (int c = 0; c < channels; c += LANES)
    for (int t = 0; t < taps; t++)
      for (int j = 0; j < LANES; j++) *o++ = c + j < channels ? task->heap[a[0] + t * channels + c + j] : 0;
}

// args: partial, chunks, taps, channels, channelStride, gradient, accumulate. Adds the chunks' partial gradients in chunk order.
void k_reduce_depthwise(Task *task) {
  const int32_t *a = task->arg;
  int chunks = a[1], taps = a[2], channels = a[3], first, last;
  int64_t size = (int64_t)taps * a[4];
  my_share(task, taps * channels, &first, &last);
  for (int i = first; i < last; i++) {
    int t = i / channels, c = i % channels;
    const float *from = task->heap + a[0] + ((int64_t)(c / LANES) * taps + t) * LANES + c % LANES;
    float s = a[6] ? task->heap[a[5] + i] : 0;
    for (int k = 0; k < chunks; k++) s += from[k * size];
    task->heap[a[5] + i] = s;
  }
}
