/* What is a JSON schema of draft 7, as its metaschema says. */
#ifndef JSON_SCHEMA_H
#define JSON_SCHEMA_H

#include "json/value.h"

/* Recurses as deep as the schema is nested. If it is none, *where becomes the keyword whose value is at fault; where no
 * keyword is, it stays, so set it to "" before. */
bool schema_check(const value *schema, const char **where);

#endif
