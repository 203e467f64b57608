/* The core as a Node addon, for packages/runtime/src/native.ts: what wasm/exports.c is to WebAssembly. Each core has a range of memory that
 * JavaScript sees as one ArrayBuffer and whose offsets are its addresses; its variables lie at the start, so that a copy of the memory is
 * all there is to keep. The few functions of Node-API are declared here, since their ABI is stable and Node's headers are often absent. */
#include <stdlib.h>
#include <sys/mman.h>

#include "../bw.h"

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
typedef void (*napi_finalize)(napi_env, void *data, void *hint);
/* Each returns 0 where it succeeds. */
extern int napi_get_cb_info(napi_env, napi_callback_info, size_t *count, napi_value *arguments, napi_value *self, void **data);
extern int napi_get_value_double(napi_env, napi_value, double *);
extern int napi_create_double(napi_env, double, napi_value *);
extern int napi_create_object(napi_env, napi_value *);
extern int napi_create_function(napi_env, const char *name, size_t length, napi_callback, void *data, napi_value *);
extern int napi_set_named_property(napi_env, napi_value object, const char *name, napi_value);
extern int napi_create_external_arraybuffer(napi_env, void *, size_t bytes, napi_finalize, void *hint, napi_value *);
extern int napi_add_env_cleanup_hook(napi_env, void (*)(void *), void *);

typedef struct {
  bw_model model;
  bw_spectral *spectral;
  bw_stream stream;
  int ready;
} variables;

/* `at` turns an argument into a pointer, `a` has them as numbers. */
#define OPERATION(name, value)                                          \
  static double name(uint8_t *memory, const double *a) {                \
    variables *const v = (variables *)memory;                           \
    (void)v, (void)a;                                                   \
    return (double)(value);                                             \
  }
#define AT(i) ((void *)(memory + (size_t)a[i]))
#define NUMBER(i) ((uint32_t)a[i])

static uint32_t limited(uint64_t bytes) { return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes; }

OPERATION(heap, sizeof(variables))
OPERATION(open_model, bw_open(&v->model, AT(0), NUMBER(1)))
OPERATION(fault, v->model.fault)
OPERATION(prepared_bytes, limited(bw_prepared_bytes(&v->model)))
OPERATION(prepare, (bw_prepare(&v->model, AT(0)), 0))
OPERATION(front_end_valid, bw_front_end_valid(AT(0)))
OPERATION(front_end_bytes, bw_front_end_bytes(AT(0)))
OPERATION(front_end_prepare, (v->spectral = bw_front_end_prepare(AT(0), AT(1)), 0))
OPERATION(front_end_side_bytes, bw_front_end_side_bytes(v->spectral))
OPERATION(front_end_widen, (bw_front_end_widen(v->spectral, AT(0)), 0))
OPERATION(features, (bw_front_end_clip(v->spectral, AT(0), NUMBER(1), AT(2)), 0))
OPERATION(run, (bw_run(&v->model, AT(0), v->spectral, AT(1), AT(2)), 0))
OPERATION(run_pixels, (bw_run_pixels(&v->model, AT(0), AT(1), AT(2)), 0))
OPERATION(run_features, (bw_run_features(&v->model, AT(0), AT(1), AT(2)), 0))
OPERATION(softmax16, (bw_softmax16(AT(0), NUMBER(1), (float)a[2], AT(3)), 0))
OPERATION(stream_plan_bytes, bw_stream_plan_bytes(&v->model))
OPERATION(stream_plan, bw_stream_plan(&v->stream, &v->model, AT(0)))
OPERATION(stream_state_bytes, v->stream.stateBytes)
OPERATION(stream_hop_samples, v->stream.hopSamples)
OPERATION(stream_first_samples, v->stream.firstSamples)
OPERATION(stream_open, (bw_stream_open(&v->stream, v->spectral, AT(0)), 0))
OPERATION(stream_push, bw_stream_push(&v->stream, AT(0), NUMBER(1), AT(2), &v->ready))
OPERATION(stream_ready, v->ready)

#define MAX_ARGUMENTS 4
static const struct {
  const char *name;
  double (*run)(uint8_t *memory, const double *a);
  size_t arguments;
} operations[] = {
    {"heap", heap, 0},
    {"open", open_model, 2},
    {"fault", fault, 0},
    {"preparedBytes", prepared_bytes, 0},
    {"prepare", prepare, 1},
    {"frontEndValid", front_end_valid, 1},
    {"frontEndBytes", front_end_bytes, 1},
    {"frontEndPrepare", front_end_prepare, 2},
    {"frontEndSideBytes", front_end_side_bytes, 0},
    {"frontEndWiden", front_end_widen, 1},
    {"features", features, 3},
    {"run", run, 3},
    {"runPixels", run_pixels, 3},
    {"runFeatures", run_features, 3},
    {"softmax16", softmax16, 4},
    {"streamPlanBytes", stream_plan_bytes, 0},
    {"streamPlan", stream_plan, 1},
    {"streamStateBytes", stream_state_bytes, 0},
    {"streamHopSamples", stream_hop_samples, 0},
    {"streamFirstSamples", stream_first_samples, 0},
    {"streamOpen", stream_open, 1},
    {"streamPush", stream_push, 3},
    {"streamReady", stream_ready, 0},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

typedef struct {
  uint8_t *memory;
  size_t bytes;
  struct call {
    uint8_t *memory;
    size_t operation;
  } calls[OPERATIONS];
} core;

static napi_value call(napi_env env, napi_callback_info info) {
  napi_value given[MAX_ARGUMENTS], result;
  double numbers[MAX_ARGUMENTS];
  size_t count = MAX_ARGUMENTS, i;
  struct call *called;
  if (napi_get_cb_info(env, info, &count, given, NULL, (void **)&called)) return NULL;
  for (i = 0; i < operations[called->operation].arguments; i++)
    if (napi_get_value_double(env, given[i], &numbers[i])) return NULL;
  return napi_create_double(env, operations[called->operation].run(called->memory, numbers), &result) ? NULL : result;
}

static void release(void *data) {
  core *c = data;
  munmap(c->memory, c->bytes);
  free(c);
}

/* Addresses that never move; memory is used as it is touched. */
static core *reserve(void) {
  core *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  for (c->bytes = (size_t)1 << (sizeof(size_t) > 4 ? 32 : 30); c->bytes >= (size_t)1 << 26; c->bytes /= 2) {
    c->memory = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->memory != MAP_FAILED) return c;
  }
  free(c);
  return NULL;
}

/* The memory goes when the thread's JavaScript has ended: nobody can call any more. */
static napi_value create_core(napi_env env, napi_callback_info info) {
  napi_value object, member;
  core *c = reserve();
  size_t i;
  (void)info;
  if (!c) return NULL;
  if (napi_add_env_cleanup_hook(env, release, c)) {
    release(c);
    return NULL;
  }
  if (napi_create_object(env, &object) || napi_create_external_arraybuffer(env, c->memory, c->bytes, NULL, NULL, &member)) return NULL;
  if (napi_set_named_property(env, object, "buffer", member)) return NULL;
  for (i = 0; i < OPERATIONS; i++) {
    c->calls[i].memory = c->memory;
    c->calls[i].operation = i;
    if (napi_create_function(env, operations[i].name, (size_t)-1, call, &c->calls[i], &member)) return NULL;
    if (napi_set_named_property(env, object, operations[i].name, member)) return NULL;
  }
  return object;
}

#define VISIBLE __attribute__((visibility("default")))

VISIBLE int32_t node_api_module_get_api_version_v1(void) { return 8; }

VISIBLE napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  if (napi_create_function(env, "createCore", (size_t)-1, create_core, NULL, &function)) return NULL;
  return napi_set_named_property(env, exports, "createCore", function) ? NULL : exports;
}
