/* SPDX-License-Identifier: GPL-2.0-only */
/* JSON to YAML. The only file that writes by libyaml. */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "config.h"

static int emit(yaml_emitter_t *emitter, yaml_event_t *event, int initialized)
{
	return initialized && yaml_emitter_emit(emitter, event) ? 0 : -EIO;
}

/* To readers of YAML 1.1 22:22 is a number, and so would some MACs be. */
static int emit_text(yaml_emitter_t *emitter, const char *text)
{
	yaml_scalar_style_t style = strchr(text, ':') ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE;
	yaml_event_t event;

	return emit(emitter, &event,
		    yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)text, strlen(text), 1, 1, style));
}

static int emit_value(yaml_emitter_t *emitter, const json_t *json);

/* On one line, unless what it holds is no text itself. */
static int emit_array(yaml_emitter_t *emitter, const json_t *json)
{
	yaml_sequence_style_t style = YAML_FLOW_SEQUENCE_STYLE;
	yaml_event_t event;
	const json_t *item;
	size_t i;
	int ret;

	json_array_foreach(json, i, item)
	{
		if (!json_is_string(item))
			style = YAML_BLOCK_SEQUENCE_STYLE;
	}
	ret = emit(emitter, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style));
	json_array_foreach(json, i, item)
	{
		ret = ret ? ret : emit_value(emitter, item);
	}
	return ret ? ret : emit(emitter, &event, yaml_sequence_end_event_initialize(&event));
}

static bool says_nothing(const json_t *json)
{
	return json_is_null(json) || (!json_is_string(json) && !json_array_size(json) && !json_object_size(json));
}

static int emit_object(yaml_emitter_t *emitter, const json_t *json)
{
	yaml_event_t event;
	const char *key;
	json_t *value;
	int ret;

	ret = emit(emitter, &event,
		   yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
	json_object_foreach((json_t *)json, key, value)
	{
		if (says_nothing(value))
			continue;
		ret = ret ? ret : emit_text(emitter, key);
		ret = ret ? ret : emit_value(emitter, value);
	}
	return ret ? ret : emit(emitter, &event, yaml_mapping_end_event_initialize(&event));
}

static int emit_value(yaml_emitter_t *emitter, const json_t *json)
{
	if (json_is_object(json))
		return emit_object(emitter, json);
	return json_is_array(json) ? emit_array(emitter, json) : emit_text(emitter, json_string_value(json));
}

static int emit_document(yaml_emitter_t *emitter, const json_t *json)
{
	yaml_event_t event;
	int ret;

	ret = emit(emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	if (!ret)
		ret = emit(emitter, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
	if (!ret)
		ret = emit_value(emitter, json);
	if (!ret)
		ret = emit(emitter, &event, yaml_document_end_event_initialize(&event, 1));
	return ret ? ret : emit(emitter, &event, yaml_stream_end_event_initialize(&event));
}

int config_write(const json_t *json, FILE *f)
{
	yaml_emitter_t emitter;
	int ret;

	if (!yaml_emitter_initialize(&emitter))
		return -ENOMEM;
	yaml_emitter_set_output_file(&emitter, f);
	yaml_emitter_set_width(&emitter, -1);
	ret = emit_document(&emitter, json);
	yaml_emitter_delete(&emitter);
	return ret;
}
