using System.Globalization;
using Fleet.Kernel.History;

namespace Fleet.Silo.Cluster;

/// <summary>Names that every process of a run knows under the same numbers.</summary>
/// <remarks>
/// Requests carry the number of a session and not its name; a table that begins with these names reads it alike
/// everywhere.
/// </remarks>
public static class RunNames
{
    public const string Generator = GeneratorPrefix + "1";

    public const string Session = "session:" + Generator;

    /// <summary>Generators that may share a run.</summary>
    public const int GeneratorsMax = 16;

    /// <summary>Seats of a run, those of generators that follow a lost one included.</summary>
    public const int SeatsMax = 64;

    private const string GeneratorPrefix = "gen-";

    /// <param name="number">From 1.</param>
    public static string GeneratorOf(int number) => $"{GeneratorPrefix}{number}";

    /// <returns>0 where the process is no generator.</returns>
    public static int NumberOf(string process) =>
        process.StartsWith(GeneratorPrefix, StringComparison.Ordinal)
        && int.TryParse(
            process.AsSpan(GeneratorPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number : 0;

    /// <param name="number">Of the generator, from 1.</param>
    public static string SessionOf(int number) => "session:" + GeneratorOf(number);

    /// <summary>Returns a table that begins with the names; the generator's number in the run is 1.</summary>
    public static ObjectTable NewTable()
    {
        var objects = new ObjectTable();
        for (var number = 1; number <= SeatsMax; number++)
        {
            objects.Intern(GeneratorOf(number));
            objects.Intern(SessionOf(number));
        }

        return objects;
    }
}
