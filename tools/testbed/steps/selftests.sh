# shellcheck shell=bash disable=SC2154,SC2034 # variables of setup
step_selftests() { :; }
