# SPDX-License-Identifier: GPL-2.0-only
# bash completion for nsbpf: all of it comes from `nsbpf complete`, which knows the commands and what runs now.

_nsbpf()
{
	local line=${COMP_LINE:0:COMP_POINT} current candidate
	local -a words
	# bash would take words apart at : and =, which are in ports, addresses and options.
	read -ra words <<<"$line"
	[[ $line != *[[:blank:]] ]] || words+=("")
	current=${words[-1]}
	COMPREPLY=()
	while IFS=$'\t' read -r candidate _; do
		case $candidate in
		:files)
			mapfile -t COMPREPLY < <(compgen -f -- "${current#*=}")
			compopt -o filenames 2>/dev/null
			return
			;;
		:commands)
			mapfile -t COMPREPLY < <(compgen -c -- "$current")
			return
			;;
		esac
		# What stands before the last : or = is not replaced.
		COMPREPLY+=("${candidate#"${current%"${current##*[:=]}"}"}")
	done < <("${words[0]}" complete "${words[@]:1}" 2>/dev/null)
}

complete -F _nsbpf nsbpf
