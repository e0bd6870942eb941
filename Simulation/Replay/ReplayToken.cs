using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Fleet.Kernel;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>
/// One pasteable line that reproduces a schedule: version, scenario, profile, who steps how often, digest.
/// </summary>
/// <remarks>
/// <c>x1:S8:ALL:a5d1a4c8:1f2e3d4c</c>: five steps of the first actor, one of the fourth, and so on. What was
/// changed of the scenario stands behind its id (<see cref="ScenarioEdit"/>): <c>S8+late-B1</c>. The digest covers the
/// line, so a mangled one is refused; <c>x1</c> is the version of the worlds and of their steps.
/// </remarks>
public sealed record ReplayToken(Scenario Scenario, KernelProfile Profile, IReadOnlyList<byte> Choices)
{
    /// <summary>Longest text that is looked at.</summary>
    public const int LengthMax = 2048;

    private const string Version = "x1";

    /// <summary>Says what a token looks like, for messages.</summary>
    public static string Form => "a token such as x1:S8:ALL:a5d1a4c8:1f2e3d4c, as fleet explore prints it";

    public static bool TryParse(string text, [NotNullWhen(true)] out ReplayToken? token)
    {
        token = null;
        if (text.Length > LengthMax)
        {
            return false;
        }

        var fields = text.Split(':');
        if (fields is not [Version, var id, var profileName, var runs, var digest]
            || !ScenarioEdit.TryFind(id, out var scenario)
            || !KernelProfile.TryParse(profileName, out var profile)
            || !scenario.AppliesTo(profile)
            || !TryReadRuns(runs, scenario.Steppers, out var choices))
        {
            return false;
        }

        var parsed = new ReplayToken(scenario, profile, choices);
        if (parsed.Digest() != digest)
        {
            return false;
        }

        token = parsed;
        return true;
    }

    public override string ToString() => $"{Body()}:{Digest()}";

    private static bool TryReadRuns(string runs, int actors, out byte[] choices)
    {
        var all = new List<byte>();
        choices = [];
        for (var i = 0; i < runs.Length;)
        {
            var actor = runs[i++] - 'a';
            var count = 0;
            var digits = 0;
            for (; i < runs.Length && char.IsAsciiDigit(runs[i]) && digits < 4; i++, digits++)
            {
                count = (count * 10) + (runs[i] - '0');
            }

            if (actor < 0 || actor >= actors || count == 0 || all.Count + count > Search.DepthMax)
            {
                return false;
            }

            all.AddRange(Enumerable.Repeat((byte)actor, count));
        }

        choices = [.. all];
        return true;
    }

    private string Body()
    {
        var text = new StringBuilder($"{Version}:{Scenario.Name}:{Profile.Name}:");
        for (var i = 0; i < Choices.Count;)
        {
            var end = i;
            while (end < Choices.Count && Choices[end] == Choices[i])
            {
                end++;
            }

            text.Append((char)('a' + Choices[i])).Append((end - i).ToString(CultureInfo.InvariantCulture));
            i = end;
        }

        return text.ToString();
    }

    private string Digest()
    {
        var hash = StateHash.Seed;
        foreach (var letter in Body())
        {
            StateHash.Mix(ref hash, (ulong)letter);
        }

        return unchecked((uint)(hash ^ (hash >> 32))).ToString("x8", CultureInfo.InvariantCulture);
    }
}
