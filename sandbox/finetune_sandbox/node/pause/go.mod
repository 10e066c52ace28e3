module finetune.dev/pause

go 1.21
