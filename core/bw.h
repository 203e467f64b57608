/* The Bitwright core: runs a .bw model (docs/bw-format.md) in integers, and computes the spectral features it was trained on.
 *
 * C99 with no allocation, no recursion and no library but memcpy and memset, so that one source goes to Cortex-M, WebAssembly and hosts
 * and gives the same bits on all of them. Little-endian targets only. Compile with -ffp-contract=off and without fast-math.
 *
 * Protocol: bw_open() checks everything in an image once; from then on bw_run() trusts it. The image stays where it is and must
 * outlive the model. The caller owns the arena: header.arenaBytes, 16-byte aligned; nothing in it survives from one run to the next. */
#ifndef BITWRIGHT_CORE_H
#define BITWRIGHT_CORE_H
#include <stdint.h>

#define BW_VERSION 4u
#define BW_MAGIC 0x4c4d5742u /* "BWML" */

#define BW_MAX_BANDS 128 /* and the most coefficients of a frame */

enum { BW_RAW = 0, BW_MFCC = 1, BW_LOGMEL = 2, BW_IMAGE = 3 };
enum { BW_CONVOLUTION = 0, BW_ADD = 1, BW_AVERAGE_POOL = 2, BW_REQUANTIZE = 3, BW_RESHAPE = 4, BW_CROP = 5, BW_ATTEND = 6 };

/* What bw_open() may answer; from BW_BAD_TENSOR on, model->fault is the index of the tensor or layer, of BW_BAD_VERSION the version. */
enum {
  BW_OK = 0,
  BW_BAD_ALIGNMENT,
  BW_TOO_SHORT,
  BW_BAD_MAGIC,
  BW_BAD_VERSION,
  BW_BAD_LENGTH,
  BW_BAD_CHECKSUM,
  BW_BAD_HEADER,
  BW_BAD_FRONT_END,
  BW_BAD_STRINGS,
  BW_BAD_INPUT,
  BW_BAD_LOGITS,
  BW_TOO_MUCH_WORK,
  BW_BAD_TENSOR,
  BW_BAD_ARENA,
  BW_BAD_LAYER,
  BW_BAD_SHAPE,
  BW_BAD_DATA,
  BW_BAD_ORDER,
  BW_BAD_OVERLAP,
  BW_BAD_RANGE,
  BW_BAD_SHIFT
};

/* The records are laid out as in the file: every field on its natural boundary, no padding. */
typedef struct {
  uint32_t kind, sampleRate, samples, windowSamples, hopSamples, melBands, coefficients;
  float lowHz, highHz;
} bw_front_end; /* 36 bytes; of an image all but the kind are 0, and tensor 0 has its size */

typedef struct {
  uint32_t magic, version, length, checksum; /* CRC-32 of everything after this field */
  bw_front_end frontEnd;
  uint32_t tensorCount, layerCount, classCount;
  uint32_t tensors, layers, strings, stringBytes; /* offsets from the start of the image */
  uint32_t arenaBytes;
} bw_header; /* 84 bytes */

typedef struct {
  uint32_t height;
  uint16_t width, channels;
  uint8_t containerBits, bits;
  int16_t zeroPoint, min, max;
  float scale;
  uint32_t offset; /* in the arena */
} bw_tensor;       /* 24 bytes */

typedef struct {
  uint8_t op, weightKind, depthwise, logMagnitude; /* weightKind: bw_weight's, and their order (weights.h), or 0: cut-offs (sinc.h) */
  uint16_t input[2], output; /* input[1]: of an addition or attention; of a convolution the exponents of its compact parameters (parameters.h) */
  uint8_t accumulatorShift; /* of a convolution's sums, to the left, before the bias is added */
  uint8_t compact;          /* 1 if its parameters are */
  uint16_t kernel[2], stride[2], padding[4]; /* kernel[0]: of attention its third input; padding: top, bottom, left, right */
  uint32_t weights, parameters;              /* offsets in the image */
  uint32_t scratch;                          /* offset in the arena */
} bw_layer;                                  /* 40 bytes */

typedef struct {
  const uint8_t *image;
  uint32_t fault;
  bw_header header;
  const void *prepared; /* NULL until bw_prepare() */
} bw_model;

/* Checks the image (4-byte aligned) completely and fills model; returns a BW_ status. */
int bw_open(bw_model *model, const void *image, uint32_t length);
/* Optional, for hosts with vectors and memory to spare: lays an opened model's weights out for them, in bw_prepared_bytes() of memory,
 * 64-byte aligned, which stays in place as long as the model; 0 bytes where this build has no such paths. Same bits, sooner. */
uint64_t bw_prepared_bytes(const bw_model *model);
void bw_prepare(bw_model *model, void *memory);
/* Bytes of scratch a layer needs in the arena; with fewer rows of input, fewer. */
uint32_t bw_scratch_bytes(const bw_layer *layer, const bw_tensor *input, const bw_tensor *output);
void bw_get_tensor(const bw_model *model, uint32_t index, bw_tensor *tensor);
void bw_get_layer(const bw_model *model, uint32_t index, bw_layer *layer);

/* The spectral front end. memory: bw_front_end_bytes(config), 16-byte aligned; returns a handle inside it, NULL for a bad config. */
typedef struct bw_spectral bw_spectral;
int bw_front_end_valid(const bw_front_end *config);
uint32_t bw_front_end_bytes(const bw_front_end *config);
uint32_t bw_front_end_frames(const bw_front_end *config);
bw_spectral *bw_front_end_prepare(const bw_front_end *config, void *memory);
/* One frame: windowSamples of PCM give config.coefficients features. */
void bw_front_end_frame(const bw_spectral *spectral, const int16_t *pcm, float *features);
/* Optional, for hosts with vectors: lets clips take several frames at a time, in bw_front_end_side_bytes() of memory, 64-byte aligned, which
 * stays in place as long as the handle; 0 bytes where this build has no such paths. Same bits, sooner. */
uint32_t bw_front_end_side_bytes(const bw_spectral *spectral);
void bw_front_end_widen(bw_spectral *spectral, void *memory);
/* Frames that each begin config.hopSamples after the one before: [frames][config.coefficients]. */
void bw_front_end_clip(const bw_spectral *spectral, const int16_t *pcm, uint32_t frames, float *features);

/* One clip: header.frontEnd.samples of PCM in, header.classCount logits out. spectral: NULL for a raw-audio model. Not for images. */
void bw_run(const bw_model *model, void *arena, const bw_spectral *spectral, const int16_t *pcm, int16_t *logits);
/* One image: pixels [height][width][channels] as in tensor 0, each 0..255. For BW_IMAGE alone. */
void bw_run_pixels(const bw_model *model, void *arena, const uint8_t *pixels, int16_t *logits);
/* The same from features [frames][coefficients] (for a raw-audio model: samples in [-1, 1]) computed elsewhere. */
void bw_run_features(const bw_model *model, void *arena, const float *features, int16_t *logits);

/* A run in pieces, for streams and for measurements. Each bw_put_ converts `count` values of an input and puts them in from number `first`
 * on, where `input` is memory laid out as tensor 0: bw_input() of the arena, or memory that is copied there later. */
void *bw_input(const bw_model *model, void *arena);
void bw_put_samples(const bw_model *model, void *input, uint32_t first, const int16_t *pcm, uint32_t count);
void bw_put_features(const bw_model *model, void *input, uint32_t first, const float *features, uint32_t count);
void bw_put_pixels(const bw_model *model, void *input, uint32_t first, const uint8_t *pixels, uint32_t count);
/* Layers run in order, all of them; the logits are there after the last. */
void bw_run_layer(const bw_model *model, void *arena, uint32_t layer);
void bw_take_logits(const bw_model *model, const void *arena, int16_t *logits);

/* The class of the largest logit, the first of several; and the classes' probabilities (softmax), 255 or 65535 standing for one. scale: that
 * of the last tensor. */
uint32_t bw_argmax(const int16_t *logits, uint32_t count);
void bw_softmax8(const int16_t *logits, uint32_t count, float scale, uint8_t *to);
void bw_softmax16(const int16_t *logits, uint32_t count, float scale, uint16_t *to);

/* Streaming: a model without padding along time runs row by row, and every map keeps only the rows that its readers still need. The logits
 * that come out are, bit for bit, those of bw_run() on the windows that begin 0, 1, 2, .. times hopSamples into the stream; the first are
 * there after firstSamples, which may be fewer than a window has. */
typedef struct {
  const bw_model *model;
  const bw_spectral *spectral;
  void *plan;
  uint8_t *state;
  uint32_t stateBytes, hopSamples, firstSamples;
  uint32_t windowOffset, waiting, filled, outputWait;
} bw_stream;
uint32_t bw_stream_plan_bytes(const bw_model *model);
/* Plans in so many bytes (4-byte aligned, kept as long as the stream) and says how much state it needs. Returns 0 where the model cannot
 * stream: it takes images, is padded along time, reshapes time, attends to all of it, adds maps of different rates, or would keep more than 64 MiB. */
int bw_stream_plan(bw_stream *stream, const bw_model *model, void *plan);
/* Begins a stream, or begins it anew. spectral: NULL for a raw-audio model; state: stateBytes, 16-byte aligned. */
void bw_stream_open(bw_stream *stream, const bw_spectral *spectral, void *state);
/* Takes samples up to the next logits, but at most `count`; returns how many it took. *ready: whether there are logits now. */
uint32_t bw_stream_push(bw_stream *stream, const int16_t *pcm, uint32_t count, int16_t *logits, int *ready);

#endif
