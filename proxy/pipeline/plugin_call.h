/* One call of a plugin's hook: counted, timed, and told about when it holds up its worker. Inside of
 * pipeline/ only. */
#ifndef PIPELINE_PLUGIN_CALL_H
#define PIPELINE_PLUGIN_CALL_H

#include "base/clock.h"
#include "pipeline/plugin_host.h"

#define HAS_HOOK(plugin, hook) (WEIR_HAS((plugin)->abi, hook) && (plugin)->abi->hook)

#define CALLS_TIMED_FIRST      64 /* each worker's first ones, all of them */
#define CALLS_TIMED_EVERY                                                                \
    16 /* then one in so many, which counts for them all: two readings of the clock cost \
        * about what a good hook does */

struct plugin_call {
    struct plugin *plugin;
    struct plugin_calls *calls; /* this thread's */
    unsigned line;
    unsigned stands_for; /* 0: it is not timed */
    int64_t since_ns;
};

/* A call took 10 ms or more: from then on each of the instance's next thousand is timed. hook: its name, for
 * the log. */
void plugin_call_was_slow(const struct plugin_call *call, const char *hook, int64_t took_ns);

/* One line, and no more from this instance for a minute: what a plugin does wrong it does with each request.
 */
void plugin_tell(struct plugin *plugin, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline struct plugin_call plugin_call_begin(struct plugin *plugin)
{
    unsigned line = tally_line();
    struct plugin_calls *calls = &plugin->calls[line];
    uint64_t count = atomic_load_explicit(&calls->count, memory_order_relaxed);
    struct plugin_call call = { plugin, calls, line, 0, 0 };
    tally_add(&calls->count, line, 1);
    if (count < CALLS_TIMED_FIRST || atomic_load_explicit(&plugin->watched, memory_order_relaxed) > 0)
        call.stands_for = 1;
    else if (count % CALLS_TIMED_EVERY == 0)
        call.stands_for = CALLS_TIMED_EVERY;
    if (call.stands_for)
        call.since_ns = clock_mono_ns();
    return call;
}

static inline void plugin_call_end(const struct plugin_call *call, const char *hook)
{
    if (!call->stands_for)
        return;
    int64_t took_ns = clock_mono_ns() - call->since_ns;
    tally_add(&call->calls->ns, call->line, (uint64_t)took_ns * call->stands_for);
    if (UNLIKELY(took_ns >= 10 * NS_PER_MS))
        plugin_call_was_slow(call, hook, took_ns);
    else if (UNLIKELY(atomic_load_explicit(&call->plugin->watched, memory_order_relaxed) > 0))
        atomic_fetch_sub_explicit(&call->plugin->watched, 1, memory_order_relaxed);
}

#endif
