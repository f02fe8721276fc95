/* A plugin's file: where it is, whether it may be loaded, and whether it is one. Inside of pipeline/ only.
 * The control thread.
 *
 * A library is loaded once and stays: its code may still be on another thread's stack (thread-local
 * destructors), and a reload would map it again anyway. */
#ifndef PIPELINE_PLUGIN_LIBRARY_H
#define PIPELINE_PLUGIN_LIBRARY_H

#include "config/config.h"
#include "weir/plugin.h"

/* NULL and one sentence in error: what there is, where it was looked for, or what is wrong with it. */
const struct weir_plugin *plugin_library_load(const struct config *config, const char *name,
                                              const char *build_dir, char *error, size_t size);

#endif
