/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The screen of `nsbpf top`, the only file that knows ncurses: one line about the host, the endpoints, the flows, and
 * one line of keys.
 */
#include "top_screen.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interval.h"
#include "stats_json.h"

#include <term.h> /* last: it defines words like `lines` and `columns` */

#define KEYS                                                                                                           \
	" q quit  space pause  sort: b bits p packets d drops c connections n name  / endpoint  tab lists  arrows "    \
	"scroll"
#define REDRAW 12 /* control L */
#define ESCAPE 27
#define ESCAPE_MS 25 /* after which it is the key, and no sequence */
#define MS_PER_S 1000

enum lists {
	LISTS_BOTH,
	LISTS_ENDPOINTS,
	LISTS_FLOWS,
	LISTS,
};

struct screen {
	struct top *top;
	json_t *shown; /* top_json() */
	struct interval interval;
	enum lists lists;
	size_t scrolled; /* endpoints above the first that is shown */
	bool paused;
	bool typing; /* the endpoint's name */
	bool done;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = true;
}

static void draw_line(int y, int attributes, const char *text)
{
	attrset(attributes);
	mvhline(y, 0, ' ', COLS);
	mvaddnstr(y, 0, text, COLS);
	attrset(A_NORMAL);
}

/* So many lines high, its header included; `skip` rows are above them. */
static void draw_table(int y, int height, size_t skip, const json_t *rows, const struct column *titles, size_t numbers)
{
	char *text = NULL, *rest, *line;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	int drawn = 0;

	if (!out)
		return;
	write_table(out, rows, titles, numbers);
	fclose(out);
	rest = text;
	for (size_t i = 0; drawn < height && (line = strsep(&rest, "\n")) && *line; i++)
		if (!i || i > skip)
			draw_line(y + drawn++, i ? A_NORMAL : A_REVERSE, line);
	free(text);
}

static void draw_summary(const struct screen *s)
{
	const struct top *top = s->top;
	char text[256];
	size_t used;

	used = summary_format(s->shown, text, sizeof(text));
	if (used < sizeof(text))
		used += snprintf(text + used, sizeof(text) - used, ", by %s", top_orders[top->order]);
	if (used < sizeof(text) && (*top->endpoint || s->typing))
		used += snprintf(text + used, sizeof(text) - used, ", endpoint %s%s%s", top->part ? "*" : "",
				 top->endpoint,
				 s->typing   ? "_"
				 : top->part ? "*"
					     : "");
	if (used < sizeof(text) && s->paused)
		snprintf(text + used, sizeof(text) - used, ", paused");
	draw_line(0, A_BOLD, text);
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

static void draw(struct screen *s)
{
	const json_t *endpoints = json_object_get(s->shown, "endpoints"), *flows = json_object_get(s->shown, "flows");
	int room = LINES - 3, first = 0; /* the line about the host, an empty one, the keys */
	size_t count = json_array_size(endpoints);

	erase();
	draw_summary(s);
	if (s->lists != LISTS_FLOWS && count) {
		/* Half of the room, if flows need the other. */
		int flow_lines = 2 + (int)json_array_size(flows);
		int half = flow_lines > room / 2 ? room / 2 : room - flow_lines;

		first = least((int)count + 1, s->lists == LISTS_ENDPOINTS ? room : half);
		/* Down to the last one, and no further. */
		if (first > 1 && s->scrolled + first > count + 1)
			s->scrolled = count + 1 - first;
		draw_table(2, first, s->scrolled, endpoints, endpoint_rates, ENDPOINT_NUMBERS);
		first++;
	}
	if (s->lists != LISTS_ENDPOINTS)
		draw_table(2 + first, room - first, 0, flows, flow_columns, FLOW_NUMBERS);
	draw_line(LINES - 1, A_DIM, KEYS);
	refresh();
}

static void build(struct screen *s)
{
	json_decref(s->shown);
	s->shown = top_json(s->top);
}

static int look(struct screen *s, struct error *err)
{
	s->top->max_flows = LINES; /* more there is no room for */
	if (top_look(s->top, err))
		return -1;
	build(s);
	return 0;
}

static void type(struct screen *s, int key)
{
	char *name = s->top->endpoint;
	size_t length = strlen(name);

	if (key == '\n' || key == '\r' || key == KEY_ENTER || key == ESCAPE) {
		s->typing = false;
		if (key == ESCAPE)
			*name = '\0';
	} else if ((key == KEY_BACKSPACE || key == '\b' || key == 0x7f) && length) {
		name[length - 1] = '\0';
	} else if (key > ' ' && key < 0x7f && length < NSBPF_NAME_MAX) {
		name[length] = (char)key;
		name[length + 1] = '\0';
	}
}

static void sort(struct screen *s, int key)
{
	for (int order = 0; order < TOP_ORDERS; order++)
		if (key == top_orders[order][0])
			s->top->order = order;
}

static void scroll_by(struct screen *s, int rows)
{
	if (rows < 0 && s->scrolled < (size_t)-rows)
		s->scrolled = 0;
	else
		s->scrolled += rows;
}

static void press(struct screen *s, int key)
{
	if (s->typing) {
		type(s, key);
		return;
	}
	switch (key) {
	case 'q':
		s->done = true;
		break;
	case ' ':
		s->paused = !s->paused;
		break;
	case '/':
		s->typing = s->top->part = true;
		*s->top->endpoint = '\0';
		break;
	case REDRAW:
		clearok(stdscr, true);
		break;
	case '\t':
		s->lists = (s->lists + 1) % LISTS;
		break;
	case KEY_UP:
	case KEY_DOWN:
		scroll_by(s, key == KEY_UP ? -1 : 1);
		break;
	case KEY_PPAGE:
	case KEY_NPAGE:
		scroll_by(s, key == KEY_PPAGE ? -LINES / 2 : LINES / 2);
		break;
	default:
		sort(s, key);
	}
}

/* Keys, and new sizes of the terminal, until it is time to look again. */
static void wait_for_keys(struct screen *s)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int key;

	do {
		draw(s);
		if (poll(&input, 1, s->paused ? -1 : (int)(interval_left(&s->interval) * MS_PER_S) + 1) > 0 &&
		    !(input.revents & POLLIN))
			s->done = true; /* the terminal has gone */
		while ((key = getch()) != ERR)
			press(s, key);
		s->done = s->done || stopped;
		build(s);
	} while (!s->done && (s->paused || interval_left(&s->interval) > 0));
}

static int run(struct screen *s, struct error *err)
{
	if (look(s, err))
		return -1;
	interval_begin(&s->interval, s->interval.seconds);
	for (;;) {
		wait_for_keys(s);
		if (s->done)
			return 0;
		interval_next(&s->interval);
		if (look(s, err))
			return -1;
	}
}

/* Asked before ncurses begins, which writes to any terminal. */
static bool cursor_moves(void)
{
	int known;
	bool moves;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || setupterm(NULL, STDOUT_FILENO, &known))
		return false;
	moves = cursor_address;
	del_curterm(cur_term);
	return moves;
}

/* NULL if this is no terminal where text can be put anywhere. */
static SCREEN *begin(void)
{
	const struct sigaction action = { .sa_handler = stop };
	SCREEN *terminal = cursor_moves() ? newterm(NULL, stdout, stdin) : NULL;

	if (!terminal)
		return NULL;
	cbreak();
	noecho();
	nodelay(stdscr, true);
	keypad(stdscr, true);
	set_escdelay(ESCAPE_MS);
	curs_set(0);
	/* Not as ncurses has it: what was measured is freed, and 0 is returned. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return terminal;
}

int top_screen(struct top *top, double seconds, struct error *err)
{
	struct screen s = { .top = top, .interval = { .seconds = seconds } };
	SCREEN *terminal = begin();
	int ret;

	if (!terminal)
		return fail(err, EXIT_SYSTEM,
			    "top needs a terminal whose cursor can be moved (--once, --count N and -j do not)");
	ret = run(&s, err);
	endwin();
	delscreen(terminal);
	json_decref(s.shown);
	return ret;
}
