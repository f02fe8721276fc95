/* What weir offers to a plugin's configure: its own keys, and what else stands in the config. jansson's only
 * user among the host's functions. Inside of pipeline/ only; the control thread. */
#ifndef PIPELINE_PLUGIN_CONFIG_H
#define PIPELINE_PLUGIN_CONFIG_H

#include "pipeline/plugin_host.h"

/* Members of struct weir_host, as weir/plugin.h says. */
unsigned plugin_config_count(const struct weir_config *config);
const char *plugin_config_name(const struct weir_config *config, unsigned index);
int plugin_config_string(const struct weir_config *config, const char *name, struct weir_str *out);
int plugin_config_bool(const struct weir_config *config, const char *name, bool *out);
int plugin_config_number(const struct weir_config *config, const char *name, double *out);
int plugin_config_duration(const struct weir_config *config, const char *name, int64_t *out_ms);
int plugin_config_share(const struct weir_config *config, const char *name, double *out);
int plugin_config_size(const struct weir_config *config, const char *name, int64_t *out_bytes);
int plugin_config_list(const struct weir_config *config, const char *name);
struct weir_str plugin_config_item(const struct weir_config *config, const char *name, unsigned index);
struct weir_upstream *plugin_config_upstream(const struct weir_config *config);
int plugin_config_map(const struct weir_config *config, const char *path);
bool plugin_config_entry(const struct weir_config *config, const char *path, unsigned index,
                         struct weir_str *out_key, struct weir_str *out_value);
bool plugin_config_has_upstream(const struct weir_config *config, struct weir_str name);
void plugin_config_warn(const struct weir_config *config, const char *line);

#endif
