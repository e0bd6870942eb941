namespace Fleet.Kernel.Tests;

/// <summary>Runs every interleaving of the atomic steps of a few actors, each from a fresh world.</summary>
internal static class Interleavings
{
    /// <param name="begin">Makes a world: for each actor a function that does one step and says whether more
    /// remain.</param>
    /// <returns>Interleavings run to their end.</returns>
    public static int RunAll(Func<(Func<bool>[] Actors, Action<string> AtEnd)> begin)
    {
        var schedule = new List<(int Chosen, int Ready)>();
        var runs = 0;
        do
        {
            var (actors, atEnd) = begin();
            var ready = (1 << actors.Length) - 1;
            for (var depth = 0; ready != 0; depth++)
            {
                if (depth == schedule.Count)
                {
                    schedule.Add((System.Numerics.BitOperations.TrailingZeroCount(ready), ready));
                }

                var actor = schedule[depth].Chosen;
                if (!actors[actor]())
                {
                    ready &= ~(1 << actor);
                }
            }

            atEnd(string.Concat(schedule.Select(step => (char)('A' + step.Chosen))));
            runs++;
        }
        while (Advance(schedule));
        return runs;
    }

    private static bool Advance(List<(int Chosen, int Ready)> schedule)
    {
        while (schedule.Count > 0)
        {
            var (chosen, ready) = schedule[^1];
            var later = ready & ~((2 << chosen) - 1);
            schedule.RemoveAt(schedule.Count - 1);
            if (later != 0)
            {
                schedule.Add((System.Numerics.BitOperations.TrailingZeroCount(later), ready));
                return true;
            }
        }

        return false;
    }
}
