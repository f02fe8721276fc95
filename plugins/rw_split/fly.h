/* Fly.io's reply field "fly-replay", by which apps made for it say that they are a replica: "region=iad",
 * "instance=00bb33ff;state=why". Pure; any thread. */
#ifndef RW_SPLIT_FLY_H
#define RW_SPLIT_FLY_H

#include <weir/plugin.h>

/* Does it name a place, which is the primary's here? Another app's name does not ("app=billing", with a
 * region or without), nor does "anywhere but here" ("elsewhere=true"), nor a state alone. */
bool fly_names_primary(struct weir_str said);

#endif
