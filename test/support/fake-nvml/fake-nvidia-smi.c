/*
 * An nvidia-smi that answers one query for eight boards and costs FAKE_SMI_CPU_MS of CPU time per start (default 10, what
 * a start of the real one costs at best; with 0 it is free). Every field it is asked for gets a plausible value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int count, char **arguments) {
  const char *fields = NULL, *cost = getenv("FAKE_SMI_CPU_MS");
  for (int i = 1; i < count; i++)
    if (strncmp(arguments[i], "--query-gpu=", 12) == 0) fields = arguments[i] + 12;
  double until = cost && *cost ? atof(cost) : 10;
  while (cpu_ms() < until) {}
  for (int gpu = 0; fields && gpu < 8; gpu++) {
    char list[1024];
    snprintf(list, sizeof list, "%s", fields);
    int first = 1;
    for (char *field = strtok(list, ","); field; field = strtok(NULL, ",")) {
      if (!first) fputs(", ", stdout);
      first = 0;
      if (strcmp(field, "uuid") == 0) printf("GPU-fa4e0000-0000-4000-8000-%012d", gpu);
      else if (strcmp(field, "index") == 0) printf("%d", gpu);
      else if (strcmp(field, "name") == 0) fputs("NVIDIA H100 80GB HBM3", stdout);
      else if (strstr(field, "bus")) printf("00000000:%02X:00.0", 0x10 + gpu);
      else if (strstr(field, "power")) printf("%d.25", 300 + gpu);
      else printf("%d", 50 + gpu);
    }
    putchar('\n');
  }
  return 0;
}
