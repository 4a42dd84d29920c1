/* Formats of strings, as patterns. */
#include "constraint/schema_shape.h"

#define YEAR "(?:[1-9]\\d{3}|0[1-9]\\d{2}|00[1-9]\\d|000[1-9])"
#define LEAP_YEAR "(?:\\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                                           \
  "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|"  \
  "2[0-8]))|" LEAP_YEAR "-02-29)"
#define TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d{2}|[1-9]?\\d)"
#define IPV4 OCTET "(?:\\." OCTET "){3}"
#define H "[0-9A-Fa-f]{1,4}"
#define LAST32 "(?:" H ":" H "|" IPV4 ")"
#define IPV6                                                                                                           \
  "(?:(?:" H ":){6}" LAST32 "|::(?:" H ":){5}" LAST32 "|(?:" H ")?::(?:" H ":){4}" LAST32 "|(?:(?:" H ":){0,1}" H      \
  ")?::(?:" H ":){3}" LAST32 "|(?:(?:" H ":){0,2}" H ")?::(?:" H ":){2}" LAST32 "|(?:(?:" H ":){0,3}" H ")?::" H       \
  ":" LAST32 "|(?:(?:" H ":){0,4}" H ")?::" LAST32 "|(?:(?:" H ":){0,5}" H ")?::" H "|(?:(?:" H ":){0,6}" H ")?::)"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOSTNAME LABEL "(?:\\." LABEL ")*"
#define PLAIN "A-Za-z0-9._~!$&'()*+,;=\\-"
#define CODED "%[0-9A-Fa-f]{2}"
#define URI_CHARS "(?:[" PLAIN ":@]|" CODED ")"
#define AUTHORITY "(?:(?:[" PLAIN ":]|" CODED ")*@)?(?:\\[" IPV6 "\\]|(?:[" PLAIN "]|" CODED ")*)(?::\\d*)?"
#define URI_TAIL "(?:\\?(?:" URI_CHARS "|[/?])*)?(?:#(?:" URI_CHARS "|[/?])*)?"
#define URI                                                                                                            \
  "[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" URI_CHARS "*)*|/(?:" URI_CHARS "+(?:/" URI_CHARS "*)*)?|" URI_CHARS \
  "+(?:/" URI_CHARS "*)*|)" URI_TAIL

#define WHOLE(pattern) SLICE("^(?:" pattern ")$")

slice format_pattern(slice name) {
  static const struct {
    const char *name;
    slice pattern;
  } FORMATS[] = {
      {"date-time", WHOLE(DATE "[Tt]" TIME)},
      {"date", WHOLE(DATE)},
      {"time", WHOLE(TIME)},
      {"email", WHOLE(ATOM "(?:\\." ATOM ")*@" HOSTNAME)},
      {"hostname", WHOLE(HOSTNAME)},
      {"ipv4", WHOLE(IPV4)},
      {"ipv6", WHOLE(IPV6)},
      {"uri", WHOLE(URI)},
      {"uuid", WHOLE("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")},
  };
  for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
    if (slice_is(name, FORMATS[i].name)) return FORMATS[i].pattern;
  return (slice){0};
}
