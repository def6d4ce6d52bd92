/* SPDX-License-Identifier: GPL-2.0-only */
/* The usage texts of commands, in parts. */
#include "grammar.h"

#include <ctype.h>
#include <string.h>

bool span_is(struct span span, const char *text)
{
	return strlen(text) == span.length && !strncmp(span.at, text, span.length);
}

bool span_is_placeholder(struct span span)
{
	return span.length && (isupper(*span.at) || *span.at == '[');
}

struct span placeholder_name(struct span span)
{
	size_t length = 0;

	while (length < span.length && (isupper(span.at[length]) || isdigit(span.at[length])))
		length++;
	return (struct span){ span.at, length };
}

/* How far it is to the first of `ends` outside brackets, or to a bracket that closes what was opened before. */
static size_t length_until(const char *at, const char *end, const char *ends)
{
	const char *p = at;

	for (int depth = 0; p < end; p++) {
		if (*p == '[')
			depth++;
		else if (*p == ']' && !depth--)
			break;
		else if (!depth && strchr(ends, *p))
			break;
	}
	return p - at;
}

/* The part behind `part`, and the separators that follow it, up to the next of `ends`. */
static bool next_part(const char *begin, const char *end, const char *ends, struct span *part)
{
	const char *at = part->at ? part->at + part->length : begin;

	while (at < end && strchr(ends, *at))
		at++;
	*part = (struct span){ at, length_until(at, end, ends) };
	return part->length;
}

bool grammar_next_form(const char *text, struct span *form)
{
	const char *at = form->at ? form->at + form->length : text, *end = strchrnul(text, '\n');

	if (form->at && at < end)
		at += strlen(" | ");
	else if (form->at)
		return false;
	/* A bar within a word separates choices, one between blanks separates forms. */
	*form = (struct span){ at, 0 };
	while (at + form->length < end) {
		form->length += length_until(at + form->length, end, " ");
		if (!strncmp(at + form->length, " | ", 3))
			break;
		form->length += at + form->length < end;
	}
	return true;
}

/* "[NAME]" is NAME, but "[ADDR:]P[-P]" stays. */
static struct span without_brackets(struct span word)
{
	if (word.length > 2 && *word.at == '[' &&
	    length_until(word.at + 1, word.at + word.length, "") == word.length - 2)
		return (struct span){ word.at + 1, word.length - 2 };
	return word;
}

bool grammar_next_word(struct span form, struct span *word)
{
	struct span part = { word->at, word->length };
	const char *end = form.at + form.length;

	/* The bracket that was left out belongs to the word. */
	if (part.at && part.at > form.at && part.at[-1] == '[')
		part.length++;
	while (next_part(form.at, end, " ", &part)) {
		if (!strncmp(part.at, "[-", 2))
			continue;
		*word = without_brackets(part);
		return true;
	}
	return false;
}

bool grammar_next_choice(struct span word, struct span *choice)
{
	return next_part(word.at, word.at + word.length, "|", choice);
}

/* Where the name of an option begins, from `at` on, or `end`. */
static const char *find_option(const char *at, const char *end)
{
	for (; at < end; at++)
		if (*at == '-' && (at[1] == '-' || isalpha(at[1])) && strchr(" [|/", at[-1]) && !strchr(" ]", at[1]))
			return at;
	return end;
}

static size_t name_length(const char *at, const char *end)
{
	return length_until(at, end, " |/[");
}

static bool option_in(struct span part, struct grammar_option *option)
{
	const char *end = part.at + part.length, *at = part.at, *name;

	if (option->name.at)
		at = option->name.at + option->name.length;
	name = find_option(at, end);
	/* "--" alone ends options and is none. */
	while (name < end && name_length(name, end) == 2 && name[1] == '-')
		name = find_option(name + 2, end);
	if (name == end)
		return false;
	option->name = (struct span){ name, name_length(name, end) };
	/* Of "-p|--proto PROTO" both take the value. */
	at = name + option->name.length;
	while (at + 1 < end && strchr("|/", *at) && at[1] == '-')
		at += 1 + name_length(at + 1, end);
	option->value = (struct span){ at, 0 };
	if (at + 1 < end && *at == ' ' && at[1] != '|' && at[1] != '-' && strncmp(at + 1, "[-", 2))
		option->value = (struct span){ at + 1, length_until(at + 1, end, " ") };
	option->optional = option->value.length && *option->value.at == '[';
	option->value = without_brackets(option->value);
	return true;
}

/* A note is what stands behind "label:" on a line of its own, and on the lines behind that begin with a blank. */
static bool next_note(const char *text, struct span *label, struct span *note)
{
	const char *at = note->at ? note->at + note->length : strchrnul(text, '\n'), *end;

	if (!*at)
		return false;
	at++;
	*label = (struct span){ at, strcspn(at, ":") };
	for (end = strchrnul(at, '\n'); *end && end[1] == ' ';)
		end = strchrnul(end + 1, '\n');
	at += label->length;
	*note = (struct span){ at, end - at };
	return true;
}

/* "filter" is of a form that says FILTER. */
static bool refers_to(struct span form, struct span label)
{
	for (size_t i = 0; i + label.length <= form.length; i++)
		if (isupper(form.at[i]) && !strncasecmp(form.at + i, label.at, label.length))
			return true;
	return false;
}

bool grammar_next_option(const char *text, struct span form, struct grammar_option *option)
{
	struct span label, note = { NULL, 0 };

	/* A form begins with a word or a bracket, a note with a colon: there is something before each option. */
	if ((!option->name.at || option->name.at < form.at + form.length) && option_in(form, option))
		return true;
	while (next_note(text, &label, &note)) {
		if (!refers_to(form, label) || (option->name.at && option->name.at >= note.at + note.length))
			continue;
		if (!option->name.at || option->name.at < note.at)
			option->name = (struct span){ note.at, 0 };
		if (option_in(note, option))
			return true;
	}
	return false;
}

bool grammar_next_named(const char *text, struct span placeholder, struct span *value)
{
	struct span label, note = { NULL, 0 };

	while (next_note(text, &label, &note)) {
		if (label.length != placeholder.length || strncasecmp(label.at, placeholder.at, label.length))
			continue;
		while (next_part(note.at + 1, note.at + note.length, ",", value)) {
			for (; value->length && *value->at == ' '; value->length--)
				value->at++;
			if (value->length && islower(*value->at) && !memchr(value->at, ' ', value->length))
				return true;
		}
	}
	return false;
}
