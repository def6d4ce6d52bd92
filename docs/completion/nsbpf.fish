# SPDX-License-Identifier: GPL-2.0-only
# fish completion for nsbpf: all of it comes from `nsbpf complete`, which knows the commands and what runs now.

function __nsbpf_complete
    set -l words (commandline --cut-at-cursor --tokenize --current-process)
    set -l current (commandline --cut-at-cursor --current-token)
    set -l candidates ($words[1] complete $words[2..-1] "$current" 2>/dev/null)
    switch "$candidates[1]"
        case :files
            __fish_complete_path "$current"
        case :commands
            __fish_complete_command
        case '*'
            printf '%s\n' $candidates
    end
end

complete --command nsbpf --no-files --keep-order --arguments '(__nsbpf_complete)'
