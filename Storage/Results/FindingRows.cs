using System.Text;
using System.Text.Json;
using Fleet.Kernel.History;

namespace Fleet.Storage.Results;

/// <summary>Names and texts of findings in the tables.</summary>
internal static class FindingRows
{
    public static string Name<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();

    public static T Parse<T>(string name)
        where T : struct, Enum => Enum.Parse<T>(name, ignoreCase: true);

    /// <summary>One JSON array of the records, which are JSON objects already.</summary>
    public static string Join(IReadOnlyList<string> evidence) =>
        new StringBuilder("[").AppendJoin(',', evidence).Append(']').ToString();

    public static IReadOnlyList<string> Split(string evidence)
    {
        using var array = JsonDocument.Parse(evidence);
        return [.. array.RootElement.EnumerateArray().Select(e => e.GetRawText())];
    }
}
