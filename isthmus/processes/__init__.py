"""The business processes, one file each. A process file reads like the sentence finance would say."""
