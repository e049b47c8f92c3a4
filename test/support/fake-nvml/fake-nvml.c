/*
 * A libnvidia-ml.so.1 for machines without a GPU: NVML's ABI over boards whose true power is known.
 *
 * Every board follows a square wave between two levels; board i draws i x FAKE_NVML_STEP_MW more. What is shown is what
 * sensors show: instant power is the mean of a window, published on a grid, average power the same over 1 s, and the
 * energy counter (whole mJ) is exact but published on a grid of its own. All are multiplied by the gain.
 *
 * Time is milliseconds since the library was first used, or what stands in the file FAKE_NVML_CLOCK: then it stands
 * still until the file is written anew. Knobs are environment variables (all start with FAKE_NVML_), read at each first
 * initialisation; lists are separated by commas:
 *
 *   DEVICES 1       LOW_MW 70000   HIGH_MW 650000  PERIOD_MS 400  STEP_MW 0  NAME  ARCH 9
 *   WINDOW_MS 25    UPDATE_MS 100  COUNTER_MS 100  COUNTER_MJ 123456789  GAIN 1
 *   RELOADS         times at which the driver is reloaded: all counters begin again at 0
 *   MODULES         a serial per device; boards of one serial share a module, each reports the whole of it
 *   MODULE_MW 0     what a module draws besides its boards; 0: no module power
 *   MIG 0           1: utilisation is not supported, processes carry an instance
 *   PROCESSES       device:pid:MiB[:instance]
 *   UNSUPPORTED     field ids, and the words energy, usage, fields, utilization
 *   ERRORS          device[/field]:code@from-to   device * is all, init is nvmlInit; fields of scope 0; times in ms, to may be empty
 *   BLOCK           device@from:millis            the first call at or after from sleeps so long
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };
enum { MOST_DEVICES = 64, MOST_LIST = 32, AVERAGE_MS = 1000 };

typedef struct board { unsigned index; int slept; } board;
typedef struct { unsigned fieldId, scopeId; int64_t timestamp, latencyUsec; uint32_t valueType; int32_t nvmlReturn; union { uint32_t ui; uint64_t ull; double d; } value; } field_value;
typedef struct { uint32_t pid; uint64_t usedGpuMemory; uint32_t gpuInstanceId, computeInstanceId; } process_info;
typedef struct { uint32_t gpu, memory; } utilization;
typedef struct { uint64_t total, free, used; } memory_info;
_Static_assert(sizeof(field_value) == 40 && sizeof(process_info) == 24, "layout of nvml.h");

static board boards[MOST_DEVICES];
static int users, devices;
static double low, high, period, step, window, update, counter_update, counter_start, gain, module_extra, origin = -1;
static double reloads[MOST_LIST];
static int reload_count, mig, architecture;
static char name_of_all[96], serials[MOST_DEVICES][32];

static const char *knob(const char *name) {
  char full[64];
  snprintf(full, sizeof full, "FAKE_NVML_%s", name);
  const char *value = getenv(full);
  return value && *value ? value : NULL;
}
/* Looked at in every call: copied once, since looking through the environment costs more than all else here. */
static char clock_file[512], errors[1024], block[64], lacking[256];
static void remember(const char *name, char *into, size_t length) { const char *value = knob(name); snprintf(into, length, "%s", value ? value : ""); }
static const char *first_entry(const char *list) { return *list ? list : NULL; }

static double number(const char *name, double otherwise) { const char *value = knob(name); return value ? atof(value) : otherwise; }

static double now_ms(void) {
  if (*clock_file) {
    double value = 0;
    FILE *stream = fopen(clock_file, "r");
    if (stream) { if (fscanf(stream, "%lf", &value) != 1) value = 0; fclose(stream); }
    return value;
  }
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  double at = t.tv_sec * 1e3 + t.tv_nsec / 1e6;
  if (origin < 0) origin = at;
  return at - origin;
}

/* mW x ms = uJ that board i drew from 0 to t. */
static double drawn(unsigned i, double t) {
  double half = period / 2, waves = floor(t / period), rest = t - waves * period;
  double in_wave = rest < half ? rest * high : half * high + (rest - half) * low;
  return waves * half * (high + low) + in_wave + i * step * t;
}

/* Mean power over a window that ended at the last moment of the grid. */
static uint32_t shown(unsigned i, double over) {
  double at = floor(now_ms() / update) * update, from = at > over ? at - over : 0;
  if (at <= 0) return (uint32_t)((high + i * step) * gain);
  return (uint32_t)((drawn(i, at) - drawn(i, from)) / (at - from) * gain + 0.5);
}

static uint64_t counter(unsigned i) {
  double at = floor(now_ms() / counter_update) * counter_update, epoch = 0;
  for (int r = 0; r < reload_count; r++) if (reloads[r] <= at && reloads[r] > epoch) epoch = reloads[r];
  double start = epoch > 0 ? 0 : counter_start;
  return (uint64_t)(start + floor((drawn(i, at) - drawn(i, epoch)) * gain / 1000 + 1e-6));
}

static uint32_t module_power(const board *b, double over) {
  double sum = module_extra;
  for (int i = 0; i < devices; i++) if (strcmp(serials[i], serials[b->index]) == 0) sum += shown((unsigned)i, over);
  return (uint32_t)sum;
}

/* The code that ERRORS has for this device (or a field of it) now. */
static int fault(const char *who, int field) {
  if (!*errors) return OK;
  double at = now_ms();
  for (const char *entry = first_entry(errors); entry; entry = strchr(entry, ',') ? strchr(entry, ',') + 1 : NULL) {
    char device[16] = "", tail[32] = "";
    int code = 0, of = -1;
    double from = 0, to = INFINITY;
    if (sscanf(entry, "%15[^/:]/%d:%d@%lf-%31[0-9.]", device, &of, &code, &from, tail) < 4) {
      of = -1;
      tail[0] = 0;
      if (sscanf(entry, "%15[^/:]:%d@%lf-%31[0-9.]", device, &code, &from, tail) < 3) continue;
    }
    if (tail[0]) to = atof(tail);
    int mine = strcmp(device, who) == 0 || (strcmp(device, "*") == 0 && strcmp(who, "init") != 0);
    if (mine && of == field && at >= from && at < to) return code;
  }
  return OK;
}

static int unsupported(const char *what) {
  size_t length = strlen(what);
  for (const char *entry = first_entry(lacking); entry; entry = strchr(entry, ',') ? strchr(entry, ',') + 1 : NULL)
    if (strncmp(entry, what, length) == 0 && (entry[length] == ',' || entry[length] == 0)) return 1;
  return 0;
}

static void sleep_ms(double millis) {
  struct timespec t = { (time_t)(millis / 1000), (long)(fmod(millis, 1000) * 1e6) };
  nanosleep(&t, NULL);
}

static int enter(board *b) {
  if (users == 0) return UNINITIALIZED;
  if (b < boards || b >= boards + devices) return INVALID_ARGUMENT;
  int index;
  double from, millis;
  if (*block && !b->slept && sscanf(block, "%d@%lf:%lf", &index, &from, &millis) == 3 && index == (int)b->index && now_ms() >= from) {
    b->slept = 1;
    sleep_ms(millis);
  }
  char who[16];
  snprintf(who, sizeof who, "%u", b->index);
  return fault(who, -1);
}
#define ENTER(b) do { int code_ = enter(b); if (code_) return code_; } while (0)

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  if (users == 0) {
    remember("CLOCK", clock_file, sizeof clock_file);
    remember("ERRORS", errors, sizeof errors);
    remember("BLOCK", block, sizeof block);
    remember("UNSUPPORTED", lacking, sizeof lacking);
  }
  int code = fault("init", -1);
  if (code) return code;
  if (users++ > 0) return OK;
  devices = (int)number("DEVICES", 1);
  if (devices > MOST_DEVICES) devices = MOST_DEVICES;
  low = number("LOW_MW", 70000);
  high = number("HIGH_MW", 650000);
  period = number("PERIOD_MS", 400);
  step = number("STEP_MW", 0);
  window = number("WINDOW_MS", 25);
  update = number("UPDATE_MS", 100);
  counter_update = number("COUNTER_MS", 100);
  counter_start = number("COUNTER_MJ", 123456789);
  gain = number("GAIN", 1);
  module_extra = number("MODULE_MW", 0);
  mig = (int)number("MIG", 0);
  architecture = (int)number("ARCH", 9);
  snprintf(name_of_all, sizeof name_of_all, "%s", knob("NAME") ? knob("NAME") : "NVIDIA H100 80GB HBM3");
  reload_count = 0;
  for (const char *entry = knob("RELOADS"); entry && reload_count < MOST_LIST; entry = strchr(entry, ',') ? strchr(entry, ',') + 1 : NULL) reloads[reload_count++] = atof(entry);
  const char *serial = knob("MODULES");
  for (int i = 0; i < devices; i++) {
    boards[i].index = (unsigned)i;
    snprintf(serials[i], sizeof serials[i], "16500%08d", i);
    if (!serial) continue;
    sscanf(serial, "%31[^,]", serials[i]);
    serial = strchr(serial, ',') ? strchr(serial, ',') + 1 : NULL;
  }
  now_ms();
  return OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { if (users == 0) return UNINITIALIZED; users--; return OK; }
const char *nvmlErrorString(int code) { return code == OK ? "Success" : code == 15 ? "GPU is lost" : "A fault of the fake"; }

static int text(char *into, unsigned length, const char *value) {
  if (strlen(value) + 1 > length) return INSUFFICIENT_SIZE;
  strcpy(into, value);
  return OK;
}
int nvmlSystemGetDriverVersion(char *into, unsigned length) { return users ? text(into, length, "580.105.08") : UNINITIALIZED; }
int nvmlDeviceGetCount_v2(unsigned *count) { if (!users) return UNINITIALIZED; *count = (unsigned)devices; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, board **out) {
  if (!users) return UNINITIALIZED;
  if ((int)index >= devices) return INVALID_ARGUMENT;
  ENTER(&boards[index]);
  *out = &boards[index];
  return OK;
}
int nvmlDeviceGetUUID(board *b, char *into, unsigned length) {
  char uuid[64];
  ENTER(b);
  snprintf(uuid, sizeof uuid, "GPU-fa4e0000-0000-4000-8000-%012u", b->index);
  return text(into, length, uuid);
}
int nvmlDeviceGetName(board *b, char *into, unsigned length) { ENTER(b); return text(into, length, name_of_all); }
int nvmlDeviceGetSerial(board *b, char *into, unsigned length) { ENTER(b); return text(into, length, serials[b->index]); }
int nvmlDeviceGetArchitecture(board *b, unsigned *out) { ENTER(b); *out = (unsigned)architecture; return OK; }
int nvmlDeviceGetPowerUsage(board *b, unsigned *out) { ENTER(b); if (unsupported("usage")) return NOT_SUPPORTED; *out = shown(b->index, AVERAGE_MS); return OK; }
int nvmlDeviceGetTotalEnergyConsumption(board *b, uint64_t *out) { ENTER(b); if (unsupported("energy")) return NOT_SUPPORTED; *out = counter(b->index); return OK; }
int nvmlDeviceGetTemperature(board *b, int sensor, unsigned *out) { ENTER(b); (void)sensor; *out = 61; return OK; }
int nvmlDeviceGetClockInfo(board *b, int type, unsigned *out) { ENTER(b); (void)type; *out = 1980; return OK; }
int nvmlDeviceGetMaxClockInfo(board *b, int type, unsigned *out) { ENTER(b); (void)type; *out = 1980; return OK; }
int nvmlDeviceGetUtilizationRates(board *b, utilization *out) { ENTER(b); if (mig || unsupported("utilization")) return NOT_SUPPORTED; out->gpu = 97; out->memory = 40; return OK; }
int nvmlDeviceGetMemoryInfo(board *b, memory_info *out) { ENTER(b); out->total = 80ULL << 30; out->used = 71ULL << 30; out->free = 9ULL << 30; return OK; }
/* Software power cap while power is high. */
int nvmlDeviceGetCurrentClocksThrottleReasons(board *b, uint64_t *out) { ENTER(b); *out = fmod(now_ms(), period) < period / 2 ? 0x4 : 0; return OK; }

int nvmlDeviceGetComputeRunningProcesses_v3(board *b, unsigned *count, process_info *out) {
  ENTER(b);
  unsigned room = *count, found = 0;
  for (const char *entry = knob("PROCESSES"); entry; entry = strchr(entry, ',') ? strchr(entry, ',') + 1 : NULL) {
    unsigned device, pid, mib, instance = 0xffffffffu;
    if (sscanf(entry, "%u:%u:%u:%u", &device, &pid, &mib, &instance) < 3 || device != b->index) continue;
    if (found < room && out) out[found] = (process_info){ pid, (uint64_t)mib << 20, mig ? instance : 0xffffffffu, mig ? 0 : 0xffffffffu };
    found++;
  }
  *count = found;
  return found > room ? INSUFFICIENT_SIZE : OK;
}

static int value_of(board *b, field_value *f) {
  char id[16];
  snprintf(id, sizeof id, "%u", f->fieldId);
  char who[16];
  snprintf(who, sizeof who, "%u", b->index);
  int code = f->scopeId == 0 ? fault(who, (int)f->fieldId) : OK;
  if (code) return code;
  if (unsupported(id)) return NOT_SUPPORTED;
  f->valueType = 1;
  switch (f->fieldId) {
    case 185:
    case 186: {
      double over = f->fieldId == 185 ? AVERAGE_MS : window;
      if (f->scopeId == 0) { f->value.ui = shown(b->index, over); return OK; }
      if (f->scopeId == 1 && module_extra > 0) { f->value.ui = module_power(b, over); return OK; }
      if (f->scopeId == 2 && f->fieldId == 185) { f->value.ui = 33000; return OK; }
      return NOT_SUPPORTED;
    }
    case 74: /* ns under the power cap: half of all time */
      f->valueType = 3;
      f->value.ull = (uint64_t)(now_ms() * 5e5);
      return OK;
    case 269:
      f->valueType = 3;
      f->value.ull = 0;
      return OK;
    default:
      return NOT_SUPPORTED;
  }
}
int nvmlDeviceGetFieldValues(board *b, int count, field_value *values) {
  ENTER(b);
  if (unsupported("fields")) return NOT_SUPPORTED;
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  for (int i = 0; i < count; i++) {
    values[i].timestamp = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    values[i].latencyUsec = 5;
    values[i].nvmlReturn = value_of(b, &values[i]);
  }
  return OK;
}
