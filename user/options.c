/* SPDX-License-Identifier: GPL-2.0-only */
/* Options among a command's words. getopt_long() is not used: it takes abbreviations, and prints by itself. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static const struct option_spec *find(const struct option_spec *specs, const char *word, size_t length)
{
	for (; specs && specs->name; specs++)
		if (strlen(specs->name) == length && !strncmp(specs->name, word, length))
			return specs;
	return NULL;
}

static const struct option_spec *find_letter(const struct option_spec *specs, const char *word)
{
	for (; specs && specs->name; specs++)
		if (specs->letter && specs->letter == word[1] && !word[2])
			return specs;
	return NULL;
}

static int append(const char ***list, const char *value)
{
	size_t count = 0;
	const char **longer;

	while (*list && (*list)[count])
		count++;
	longer = realloc(*list, (count + 2) * sizeof(**list));
	if (!longer)
		return report(&(struct error){ EXIT_SYSTEM, "out of memory" });
	longer[count] = value;
	longer[count + 1] = NULL;
	*list = longer;
	return 0;
}

static int take(const struct option_spec *spec, const char *value)
{
	if (spec->list)
		return append(spec->list, value);
	if (*spec->value)
		return report_usage("--%s is given twice", spec->name);
	*spec->value = value;
	return 0;
}

/* One word that begins with a dash; *next is the word behind it, and is moved on if it was the option's value. */
static int parse_word(char *word, char ***next, char **end, const struct option_spec *specs)
{
	bool is_long = !strncmp(word, "--", 2);
	char *equals = is_long ? strchr(word, '=') : NULL;
	const struct option_spec *spec;

	if (is_long)
		spec = find(specs, word + 2, (equals ? equals : strchr(word, '\0')) - word - 2);
	else
		spec = find_letter(specs, word);
	if (!spec)
		return report_usage("no option %s here", word);
	if (spec->flag) {
		if (equals)
			return report_usage("--%s takes no value", spec->name);
		*spec->flag = true;
		return 0;
	}
	if (equals)
		return take(spec, equals + 1);
	if (*next == end)
		return report_usage("--%s needs a value", spec->name);
	return take(spec, *(*next)++);
}

int parse_options(int *argc, char **argv, const struct option_spec *specs)
{
	char **next = argv + 1, **end = argv + *argc, **words = argv + 1;
	bool options = true;

	while (next < end) {
		char *word = *next++;

		if (options && !strcmp(word, "--")) {
			options = false;
		} else if (options && word[0] == '-' && word[1]) {
			int ret = parse_word(word, &next, end, specs);

			if (ret)
				return ret;
		} else {
			*words++ = word;
		}
	}
	*argc = words - argv;
	return 0;
}
