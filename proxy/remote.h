/* Commands that speak to a running weir's admin address: status, top, purge, reload, drain. A small blocking
 * client; it knows nothing of the process it runs in. */
#ifndef REMOTE_H
#define REMOTE_H

/* argc and argv are what stands behind the command's name. Returns the exit code: 0 done, 1 refused, 2 wrong
 * usage, 3 could not connect. */
int remote_command(const char *name, int argc, char **argv);

#endif
