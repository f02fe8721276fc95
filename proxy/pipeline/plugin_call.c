#include "pipeline/plugin_call.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

#define WATCHED_CALLS 1000
#define TELL_EVERY_NS (60 * NS_PER_S)

void plugin_call_was_slow(const struct plugin_call *call, const char *hook, int64_t took_ns)
{
    atomic_store_explicit(&call->plugin->watched, WATCHED_CALLS, memory_order_relaxed);
    plugin_tell(call->plugin, "took %lld ms in %s: its worker could do nothing else meanwhile",
                (long long)(took_ns / NS_PER_MS), hook);
}

void plugin_tell(struct plugin *plugin, const char *format, ...)
{
    char text[256];
    va_list args;
    int64_t now_ns = clock_mono_ns();
    int64_t told_ns = atomic_load_explicit(&plugin->told_ns, memory_order_relaxed);
    if ((told_ns && now_ns - told_ns < TELL_EVERY_NS) ||
        !atomic_compare_exchange_strong(&plugin->told_ns, &told_ns, now_ns))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_warn("plugin %s: %s", plugin->name, text);
}
