/* Fetching a model from a hub that speaks as Hugging Face's does, into the cache that its tools share: blobs first,
 * then the links of the snapshot, the reference last, so that whoever looks finds a whole model or none.
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache */
#ifndef GALE_PULL_HUB_H
#define GALE_PULL_HUB_H

#include "gale/cli/options.h"

/* name is ORG/NAME[@REV][:TAG]. Returns 0, or an exit status after saying what is wrong. */
int hub_pull(const options *o, const char *name);

#endif
