#include "gale/bench/svg.h"

const char *const svg_colours[SVG_COLOURS] = {"#1f6fb4", "#d9601a", "#2f8f4e", "#8a4fb0",
                                              "#b0303a", "#7a6a20", "#157f8c", "#5a5a5a"};

void svg_begin(FILE *to, double width, double height) {
  fprintf(to,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
          "font-family=\"sans-serif\" font-size=\"13\" fill=\"#222222\">\n"
          "<rect width=\"%.0f\" height=\"%.0f\" fill=\"white\"/>\n",
          width, height, width, height, width, height);
}

void svg_end(FILE *to) {
  fprintf(to, "</svg>\n");
}

static void put_escaped(FILE *to, const char *text) {
  for (; *text; text++) switch (*text) {
    case '<':
      fputs("&lt;", to);
      break;
    case '>':
      fputs("&gt;", to);
      break;
    case '&':
      fputs("&amp;", to);
      break;
    default:
      /* Control characters are not XML, and bytes above ASCII need not be UTF-8. */
      fputc((unsigned char)*text < 32 || (unsigned char)*text > 126 ? '?' : *text, to);
    }
}

void svg_text(FILE *to, double x, double y, const char *anchor, const char *text) {
  fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
  put_escaped(to, text);
  fprintf(to, "</text>\n");
}

void svg_title(FILE *to, double x, double y, const char *text) {
  fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"16\" font-weight=\"bold\">", x, y);
  put_escaped(to, text);
  fprintf(to, "</text>\n");
}

void svg_rule(FILE *to, double x1, double y1, double x2, double y2, const char *colour) {
  fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour);
}

void svg_bar(FILE *to, double x, double y, double width, double height, const char *colour) {
  fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, width, height,
          colour);
}
