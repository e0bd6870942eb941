namespace Fleet.Mutation;

/// <summary>
/// Compiled into the mutated law: which mutant is active, which sites a test reached, and how far it may go.
/// </summary>
/// <remarks>
/// Concurrency: tests run one after the other; threads of one test may race, which loses a tick at worst.
/// </remarks>
public static class MutantSwitch
{
    /// <summary>The mutant that takes effect; -1 for none.</summary>
    public static int Active { get; set; } = -1;

    /// <summary>Marks every site that is reached; null outside the first run.</summary>
    public static bool[]? Reached { get; set; }

    /// <summary>Rounds of loops before a mutant counts as endless.</summary>
    public static long TicksMax { get; set; } = long.MaxValue;

    /// <summary>Rounds of loops since it was set.</summary>
    public static long Ticks { get; set; }

    public static bool On(int id)
    {
        if (Reached is { } reached)
        {
            reached[id] = true;
        }

        return Active == id;
    }

    /// <exception cref="System.TimeoutException">
    /// The loops of this test went round far more often than without the mutant; every later round says so again.
    /// </exception>
    public static void Tick()
    {
        if (++Ticks > TicksMax)
        {
            throw new System.TimeoutException("The mutant is endless.");
        }
    }
}
