/* Formats of strings, as patterns. */
#include "constraint/schema_shape.h"

#define YEAR "(?:[1-9]\\d{3}|0[1-9]\\d{2}|00[1-9]\\d|000[1-9])"
#define LEAP_YEAR "(?:\\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                                           \
  "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|"  \
  "2[0-8]))|" LEAP_YEAR "-02-29)"
#define TIME                                                                                                           \
  "(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)|23:59:60(?:\\.\\d+)?(?" \
  ":"                                                                                                                  \
  "[Zz]|[+-]00:00))"
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
#define IRI_LETTERS "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF"
#define CODED "%[0-9A-Fa-f]{2}"
#define URI_CHARS(more) "(?:[" PLAIN ":@" more "]|" CODED ")"
#define AUTHORITY(more)                                                                                                \
  "(?:(?:[" PLAIN ":" more "]|" CODED ")*@)?(?:\\[" IPV6 "\\]|(?:[" PLAIN more "]|" CODED ")*)(?::\\d*)?"
#define URI_TAIL(more) "(?:\\?(?:" URI_CHARS(more) "|[/?])*)?(?:#(?:" URI_CHARS(more) "|[/?])*)?"
#define SEGMENTS(more) "(?:/" URI_CHARS(more) "*)*"
#define ROOTED(more) "//" AUTHORITY(more) SEGMENTS(more) "|/(?:" URI_CHARS(more) "+" SEGMENTS(more) ")?"
#define URI(more) "[A-Za-z][A-Za-z0-9+.-]*:(?:" ROOTED(more) "|" URI_CHARS(more) "+" SEGMENTS(more) "|)" URI_TAIL(more)
#define REFERENCE(more)                                                                                                \
  "(?:" URI(more) "|(?:" ROOTED(more) "|(?:[" PLAIN "@" more "]|" CODED ")+" SEGMENTS(more) "|)" URI_TAIL(more) ")"
#define LOCAL "(?:" ATOM "(?:\\." ATOM ")*|\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\")"
#define ADDRESS "(?:" HOSTNAME "|\\[(?:" IPV4 "|IPv6:" IPV6 ")\\])"
#define CLOCK "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)"
#define DURATION "P(?:\\d+W|(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)(?:" CLOCK ")?|" CLOCK ")"
#define POINTER "(?:/(?:[^/~]|~[01])*)*"
#define VARIABLE "(?:[A-Za-z0-9_]|" CODED ")+(?:\\.(?:[A-Za-z0-9_]|" CODED ")+)*(?::[1-9]\\d{0,3}|\\*)?"
#define TEMPLATE                                                                                                       \
  "(?:[!#$&(-;=?-\\[\\]_a-z~" IRI_LETTERS "]|" CODED "|\\{[+#./;?&=,!@|]?" VARIABLE "(?:," VARIABLE ")*\\})*"
/* Regular expressions whose groups hold no groups, and whose classes have the usual ranges. */
#define CODE "\\\\(?:[dDwWsSnrtfv^$\\\\.*+?()\\[\\]{}|/\\-]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})"
#define CLASS "\\[\\^?(?:a-z|A-Z|0-9|a-f|A-F|[^\\\\\\[\\]^\\-]|" CODE ")+-?\\]"
#define UNIT "[^\\\\()\\[\\]{}|*+?^$]|" CODE "|" CLASS
#define TIMES "(?:(?:[*+?]|\\{(?:[01],[1-9]\\d{0,2}|\\d,[1-9]\\d{1,2}|\\d{2},[1-9]\\d{2}|\\d{1,3},?)\\})[?]?)?"
#define BRANCH(group) "(?:(?:" UNIT group ")" TIMES "|[\\^$])*"
#define BRANCHES(group) BRANCH(group) "(?:\\|" BRANCH(group) ")*"
#define FLAT BRANCHES("")
#define NESTED BRANCHES("|\\((?:\\?:)?" FLAT "\\)")

#define WHOLE(pattern) SLICE("^(?:" pattern ")$")

slice format_pattern(slice name) {
  static const struct {
    const char *name;
    slice pattern;
  } FORMATS[] = {
      {"date-time", WHOLE(DATE "[Tt]" TIME)},
      {"date", WHOLE(DATE)},
      {"time", WHOLE(TIME)},
      {"email", WHOLE(LOCAL "@" ADDRESS)},
      {"hostname", WHOLE(HOSTNAME)},
      {"ipv4", WHOLE(IPV4)},
      {"ipv6", WHOLE(IPV6)},
      {"uri", WHOLE(URI(""))},
      {"uri-reference", WHOLE(REFERENCE(""))},
      {"iri", WHOLE(URI(IRI_LETTERS))},
      {"iri-reference", WHOLE(REFERENCE(IRI_LETTERS))},
      {"uri-template", WHOLE(TEMPLATE)},
      {"duration", WHOLE(DURATION)},
      {"json-pointer", WHOLE(POINTER)},
      {"relative-json-pointer", WHOLE("(?:0|[1-9]\\d*)(?:#|" POINTER ")")},
      {"regex", WHOLE(NESTED)},
      {"uuid", WHOLE("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")},
  };
  for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
    if (slice_is(name, FORMATS[i].name)) return FORMATS[i].pattern;
  return (slice){0};
}
