using System.Text.Json;
using System.Text.RegularExpressions;

namespace Fleet.Deploy.Tests;

/// <summary>One instruction, continued lines joined.</summary>
internal sealed record Instruction(string Name, string Text)
{
    public IReadOnlyList<string> Words => Text.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The words of the JSON form, without a shell.</summary>
    public IReadOnlyList<string> Program => JsonSerializer.Deserialize<string[]>(Text)!;
}

/// <summary>A Dockerfile as its stages.</summary>
internal sealed partial class Dockerfile
{
    private Dockerfile(IReadOnlyList<IReadOnlyList<Instruction>> stages) => Stages = stages;

    /// <summary>Each begins with its FROM.</summary>
    public IReadOnlyList<IReadOnlyList<Instruction>> Stages { get; }

    public IReadOnlyList<Instruction> Final => Stages[^1];

    public static Dockerfile Read(string path)
    {
        var text = Continued().Replace(File.ReadAllText(path), " ");
        var stages = new List<List<Instruction>>();
        foreach (var line in text.Split('\n').Select(line => line.Trim()).Where(line => line is not ("" or ['#', ..])))
        {
            var parts = line.Split(' ', 2);
            if (parts[0] == "FROM")
            {
                stages.Add([]);
            }

            stages[^1].Add(new(parts[0], parts[1].Trim()));
        }

        return new(stages);
    }

    /// <summary>Variables that the final stage sets.</summary>
    public Dictionary<string, string> Variables() => Final.Where(one => one.Name == "ENV")
        .SelectMany(one => one.Words).Select(word => word.Split('=', 2))
        .ToDictionary(pair => pair[0], pair => pair[1], StringComparer.Ordinal);

    [GeneratedRegex(@"\\\s*\n")]
    private static partial Regex Continued();
}
