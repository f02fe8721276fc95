/* A shared object, but no plugin: it does not export weir_plugin. */
__attribute__((visibility("default"))) int not_a_plugin = 1;
