// Most of these tests wait: for processes to start, for a load at a fixed rate, for a silo to be given up. A third one
// beside the two that two cores would get ends the whole a third earlier.
[assembly: CollectionBehavior(MaxParallelThreads = 3)]
