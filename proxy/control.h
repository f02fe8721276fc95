/* The control thread: builds worlds and hands them to workers, owns the listening sockets, listens to signals
 * and the admin address, checks health. It serves no request. */
#ifndef CONTROL_H
#define CONTROL_H

#include "config/config.h"

struct control_options {
    const char *file;                /* the config file; NULL: text */
    const char *text;                /* YAML made from options, for reloads too */
    const char *const *text_options; /* which option each line of text came from; NULL: none */
    unsigned text_lines;
    const char *plugin_dir; /* the build's own */
};

/* Reads the config as the options say. NULL: its mistakes were printed to stderr. */
struct config *control_read(const struct control_options *options);

/* Runs weir until it is told to stop. Takes config over. Returns the exit code (A1). */
int control_run(struct config *config, const struct control_options *options);

#endif
