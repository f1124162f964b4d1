/* A stand-in for libnvidia-ml.so.1: answers from the file named by NVML_STUB_STATE, read anew on each call, so
 * that a test changes a reading while a program runs. Its driver version always begins with "stub-".
 *
 * The file has lines `key value` or `key.device value`; `#` begins a comment. Numbers are in NVML's own units.
 *   count 2                      how many devices (default 0)
 *   driver 1.0                   the driver version is "stub-" and this
 *   init error:9                 nvmlInit fails so
 *   slow.0 2.5                   each call on device 0 takes this many seconds longer
 *   lost.0 1                     device 0 answers NVML_ERROR_GPU_IS_LOST
 *   name.0 uuid.0                text
 *   utilization.0 memory_utilization.0 fan.0       percent
 *   memory_total.0 memory_used.0 memory_reserved.0 bytes
 *   temperature.0 (degrees C)  power.0 power_limit.0 (mW)  energy.0 (mJ)  sm_clock.0 mem_clock.0 (MHz)
 *   ecc_corrected.0 ecc_uncorrected.0 throttle.0 (bits, 0x... too)
 *   processes.0 4711:1073741824,4712:unknown       process ids and bytes
 *   process_name.4711 text
 * Any value may be `unknown` (NVML_VALUE_NOT_AVAILABLE), `unsupported` or `error:N` (an nvmlReturn_t). What the
 * file does not name is unsupported. A file that is not there is a driver that is not loaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEVICES = 16, TEXT = 1024 };
enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15
};
typedef int nvmlReturn_t;
typedef unsigned long long u64;
typedef struct { int index; } Device;
typedef struct { u64 total, free, used; } Memory;
typedef struct { unsigned version; u64 total, reserved, free, used; } Memory2;
typedef struct { unsigned version, sensor; int temperature; } Temperature1;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; u64 used; unsigned gpu_instance, compute_instance; } Process;

static Device devices[DEVICES];
static int initialized;

/* The text of `key` or, with a device of 0 or more, of `key.device`. */
static nvmlReturn_t said(const char *key, long device, char *text) {
    const char *path = getenv("NVML_STUB_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return DRIVER_NOT_LOADED;
    char wanted[96], line[TEXT];
    if (device < 0) snprintf(wanted, sizeof wanted, "%s", key);
    else snprintf(wanted, sizeof wanted, "%s.%ld", key, device);
    nvmlReturn_t found = NOT_SUPPORTED;
    while (found == NOT_SUPPORTED && fgets(line, sizeof line, file)) {
        size_t length = strcspn(line, " \t\r\n");
        if (strlen(wanted) != length || strncmp(line, wanted, length)) continue;
        char *value = line + length + strspn(line + length, " \t");
        value[strcspn(value, "\r\n")] = 0;
        snprintf(text, TEXT, "%s", value);
        found = SUCCESS;
    }
    fclose(file);
    if (found == SUCCESS && !strcmp(text, "unsupported")) return NOT_SUPPORTED;
    if (found == SUCCESS && !strncmp(text, "error:", 6)) return atoi(text + 6);
    return found;
}

static nvmlReturn_t number(const char *key, long device, u64 *value) {
    char text[TEXT];
    nvmlReturn_t code = said(key, device, text);
    if (code == SUCCESS) *value = strcmp(text, "unknown") ? strtoull(text, NULL, 0) : ~0ULL;
    return code;
}

static nvmlReturn_t copied(const char *text, char *to, unsigned room) {
    if (strlen(text) >= room) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

/* What every call on a device begins with: it may be slow, and it may be lost. */
static nvmlReturn_t reached(const Device *device) {
    char text[TEXT];
    u64 lost = 0;
    if (!initialized) return UNINITIALIZED;
    if (said("slow", device->index, text) == SUCCESS) {
        double seconds = atof(text);
        struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
        nanosleep(&pause, NULL);
    }
    nvmlReturn_t code = number("lost", device->index, &lost);
    if (code == DRIVER_NOT_LOADED) return code;
    return lost ? GPU_IS_LOST : SUCCESS;
}

static nvmlReturn_t reading(const Device *device, const char *key, u64 *value) {
    nvmlReturn_t code = reached(device);
    return code ? code : number(key, device->index, value);
}

static nvmlReturn_t small(const Device *device, const char *key, unsigned *value) {
    u64 wide = 0;
    nvmlReturn_t code = reading(device, key, &wide);
    if (!code) *value = (unsigned)wide;
    return code;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    u64 nothing;
    (void)flags;
    nvmlReturn_t code = number("init", -1, &nothing);
    initialized = code == SUCCESS || code == NOT_SUPPORTED;
    return initialized ? SUCCESS : code;
}
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) {
    nvmlReturn_t code = initialized ? SUCCESS : UNINITIALIZED;
    initialized = 0;
    return code;
}
const char *nvmlErrorString(nvmlReturn_t code) {
    switch (code) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *to, unsigned room) {
    char text[TEXT] = "", version[TEXT + 8];
    nvmlReturn_t code = initialized ? said("driver", -1, text) : UNINITIALIZED;
    if (code && code != NOT_SUPPORTED) return code;
    snprintf(version, sizeof version, "stub-%s", code ? "1" : text);
    return copied(version, to, room);
}
nvmlReturn_t nvmlSystemGetNVMLVersion(char *to, unsigned room) { return copied("stub-1", to, room); }
nvmlReturn_t nvmlSystemGetProcessName(unsigned pid, char *to, unsigned room) {
    char text[TEXT];
    nvmlReturn_t code = said("process_name", (long)pid, text);
    return code == NOT_SUPPORTED ? NOT_FOUND : code ? code : copied(text, to, room);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    u64 wide = 0;
    nvmlReturn_t code = initialized ? number("count", -1, &wide) : UNINITIALIZED;
    *count = (unsigned)wide;
    return code == NOT_SUPPORTED ? SUCCESS : code;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    unsigned count = 0;
    nvmlReturn_t code = nvmlDeviceGetCount_v2(&count);
    if (code) return code;
    if (index >= count || index >= DEVICES) return INVALID_ARGUMENT;
    devices[index].index = (int)index;
    *device = &devices[index];
    return reached(*device);
}
nvmlReturn_t nvmlDeviceGetIndex(Device *device, unsigned *index) {
    *index = (unsigned)device->index;
    return reached(device);
}

static nvmlReturn_t identity(Device *device, const char *key, const char *otherwise, char *to, unsigned room) {
    char text[TEXT];
    nvmlReturn_t code = reached(device);
    if (code) return code;
    code = said(key, device->index, text);
    if (code == NOT_SUPPORTED) snprintf(text, sizeof text, "%s%d", otherwise, device->index), code = SUCCESS;
    return code ? code : copied(text, to, room);
}
nvmlReturn_t nvmlDeviceGetName(Device *device, char *to, unsigned room) {
    return identity(device, "name", "Stub GPU ", to, room);
}
nvmlReturn_t nvmlDeviceGetUUID(Device *device, char *to, unsigned room) {
    return identity(device, "uuid", "GPU-stub-", to, room);
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    nvmlReturn_t code = small(device, "utilization", &rates->gpu);
    if (code) return code;
    return small(device, "memory_utilization", &rates->memory) ? (rates->memory = ~0U, SUCCESS) : SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *memory) {
    memory->reserved = 0;
    nvmlReturn_t code = reading(device, "memory_total", &memory->total);
    if (!code) code = number("memory_used", device->index, &memory->used);
    if (!code) number("memory_reserved", device->index, &memory->reserved);
    memory->free = memory->total - memory->used - memory->reserved;
    return code;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    Memory2 whole = {0, 0, 0, 0, 0};
    nvmlReturn_t code = nvmlDeviceGetMemoryInfo_v2(device, &whole);
    *memory = (Memory){whole.total, whole.free, whole.used + whole.reserved};
    return code;
}
nvmlReturn_t nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *celsius) {
    return sensor ? INVALID_ARGUMENT : small(device, "temperature", celsius);
}
nvmlReturn_t nvmlDeviceGetTemperatureV(Device *device, Temperature1 *asked) {
    return nvmlDeviceGetTemperature(device, asked->sensor, (unsigned *)&asked->temperature);
}
nvmlReturn_t nvmlDeviceGetPowerUsage(Device *device, unsigned *mw) { return small(device, "power", mw); }
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(Device *device, unsigned *mw) {
    return small(device, "power_limit", mw);
}
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned *mw) {
    return small(device, "power_limit", mw);
}
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(Device *device, u64 *mj) { return reading(device, "energy", mj); }
nvmlReturn_t nvmlDeviceGetClockInfo(Device *device, unsigned kind, unsigned *mhz) {
    return small(device, kind == 2 ? "mem_clock" : "sm_clock", mhz); /* 0 graphics, 1 SM, 2 memory, 3 video */
}
nvmlReturn_t nvmlDeviceGetFanSpeed(Device *device, unsigned *percent) { return small(device, "fan", percent); }
nvmlReturn_t nvmlDeviceGetTotalEccErrors(Device *device, unsigned kind, unsigned counter, u64 *count) {
    (void)counter;
    return reading(device, kind ? "ecc_uncorrected" : "ecc_corrected", count);
}
nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(Device *device, u64 *bits) {
    return reading(device, "throttle", bits);
}
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(Device *device, u64 *bits) {
    return reading(device, "throttle", bits);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *found) {
    char text[TEXT], *rest = NULL;
    unsigned room = *count, number_of = 0;
    nvmlReturn_t code = reached(device);
    if (!code) code = said("processes", device->index, text);
    if (code) return code;
    for (char *one = strtok_r(text, ", ", &rest); one; one = strtok_r(NULL, ", ", &rest), number_of++) {
        char *used = strchr(one, ':');
        if (!found || number_of >= room) continue;
        u64 bytes = used && strcmp(used + 1, "unknown") ? strtoull(used + 1, NULL, 0) : ~0ULL;
        found[number_of] = (Process){(unsigned)strtoul(one, NULL, 10), bytes, ~0U, ~0U};
    }
    *count = number_of;
    return number_of > room ? INSUFFICIENT_SIZE : SUCCESS;
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(Device *device, unsigned *count, Process *found) {
    (void)found;
    *count = 0;
    return reached(device);
}
