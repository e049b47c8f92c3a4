/*
 * Teaches Debian's ipmi_sim (openipmi 2.0.33) the one DCMI command it lacks: Get Power Reading (group 0xDC, command 2).
 * The file named by its argument is read at every request: "<watts> <state bit> <completion code>", numbers in C's notation.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#define GROUP_DCMI 0xdc
#define GET_POWER_READING 0x02
#define INVALID_COMMAND 0xc1

/* What lanserv hands to a command; only the command byte is used here, the rest is there to place it. */
struct request {
  void *source;
  int source_length;
  long oem;
  unsigned char channel;
  void *origin;
  unsigned char auth_kind;
  unsigned int sequence, session;
  union {
    struct { unsigned char *code; unsigned char bytes[16]; } rmcp;
    struct { unsigned char payload, encrypted, authenticated, iana[3]; unsigned short id; unsigned char *data; unsigned int length; } rmcp_plus;
  } envelope;
  unsigned char netfn, responder, responder_lun, requester, requester_lun, requester_sequence, command;
};
typedef void (*command_handler)(void *mc, struct request *, unsigned char *answer, unsigned int *length, void *context);
extern void ipmi_emu_register_group_extension_handler(unsigned char group, command_handler, void *context);

static char values[1024];

static void little_endian(unsigned char *to, unsigned long value, int bytes) {
  for (int i = 0; i < bytes; i++) to[i] = (value >> (8 * i)) & 0xff;
}

static void answer_dcmi(void *mc, struct request *request, unsigned char *answer, unsigned int *length, void *context) {
  int watts = 0, active = 1, completion = 0;
  (void)mc, (void)context;
  FILE *file = fopen(values, "r");
  if (!file || fscanf(file, "%i %i %i", &watts, &active, &completion) != 3) completion = 0xff;
  if (file) fclose(file);
  if (request->command != GET_POWER_READING) completion = INVALID_COMMAND;
  answer[0] = completion;
  *length = 1;
  if (completion) return;
  memset(answer + 1, 0, 18);
  answer[1] = GROUP_DCMI;
  little_endian(answer + 2, watts, 2);      /* now */
  little_endian(answer + 4, 1, 2);          /* least, most and mean: since the controller's start, never to be used */
  little_endian(answer + 6, 60000, 2);
  little_endian(answer + 8, 30000, 2);
  little_endian(answer + 10, time(NULL), 4);
  little_endian(answer + 14, 1000, 4);      /* over so many ms */
  answer[18] = active ? 0x40 : 0;
  *length = 19;
}

int ipmi_sim_module_print_version(void *system, char *options) {
  (void)system, (void)options;
  puts("DCMI power reading for tests");
  return 0;
}

int ipmi_sim_module_init(void *system, const char *options) {
  (void)system;
  snprintf(values, sizeof values, "%s", options);
  ipmi_emu_register_group_extension_handler(GROUP_DCMI, answer_dcmi, NULL);
  return 0;
}
