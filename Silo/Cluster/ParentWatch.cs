namespace Fleet.Silo.Cluster;

/// <summary>Standard input of a process that must not outlive who started it: it ends with that process, however that
/// one ends.</summary>
/// <remarks>On a thread of its own: a pool that is starved, as on a machine that is far behind, must not keep a process
/// alive that nobody wants any more.</remarks>
public static class ParentWatch
{
    /// <summary>Set to <see cref="Yes"/> for a process that is to end with its standard input.</summary>
    public const string Variable = "FLEET_CHILD";

    public const string Yes = "yes";

    /// <param name="ended">Called once, when nobody holds the other end any more.</param>
    public static void Start(Action ended) => new Thread(() =>
    {
        using var input = Console.OpenStandardInput();
        Span<byte> ignored = stackalloc byte[64];
        while (input.Read(ignored) > 0)
        {
            // What is said there is for nobody; its end is what counts.
        }

        ended();
    })
    {
        IsBackground = true,
        Name = "parent watch",
    }.Start();
}
