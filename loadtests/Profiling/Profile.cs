using System.Globalization;
using System.Text;

namespace Fleet.LoadTests.Profiling;

/// <summary>One line of a profile.</summary>
/// <param name="Weight">Samples, or bytes.</param>
internal readonly record struct Weighed(string Name, double Weight);

/// <summary>Where processor time and allocations of a piece of work went.</summary>
/// <param name="Own">Samples by the method that was running.</param>
/// <param name="Within">Samples by every method that was on the stack.</param>
/// <param name="Native">Samples of threads that were in native code or waiting.</param>
/// <param name="Types">Bytes by the type that was allocated.</param>
internal sealed record Profile(
    IReadOnlyList<Weighed> Own, IReadOnlyList<Weighed> Within, long Native, IReadOnlyList<Weighed> Types)
{
    private const int Shown = 20;

    /// <summary>Of managed code; the parts of every list are shares of it.</summary>
    public double Samples => Own.Sum(one => one.Weight);

    public double Bytes => Types.Sum(one => one.Weight);

    public static IReadOnlyList<Weighed> Sorted(Dictionary<string, double> weights) =>
    [
        .. weights.Select(one => new Weighed(one.Key, one.Value)).OrderByDescending(one => one.Weight)
            .ThenBy(one => one.Name, StringComparer.Ordinal),
    ];

    /// <summary>Writes the text into <c>profile-WHAT.txt</c> of a folder.</summary>
    /// <returns>The file.</returns>
    public async Task<string> WriteAsync(
        string folder, string what, string title, long sampled, long allocated, CancellationToken ct)
    {
        Directory.CreateDirectory(folder);
        var file = Path.Combine(folder, $"profile-{what}.txt");
        await File.WriteAllTextAsync(file, Text(title, sampled, allocated), ct);
        return file;
    }

    /// <param name="sampled">Operations while samples were taken.</param>
    /// <param name="allocated">Operations while allocations were.</param>
    public string Text(string title, long sampled, long allocated)
    {
        var text = new StringBuilder();
        text.AppendLine(title).AppendLine().AppendLine(string.Create(
            CultureInfo.InvariantCulture,
            $"Processor time: {Samples:N0} samples in managed code over {sampled:N0} operations; {Native:N0} more of "
            + $"threads that waited or were in native code."));
        Table(text, "In the method itself", Own, Samples, one => Share(one.Weight, Samples));
        Table(text, "In the method and what it calls", Within, Samples, one => Share(one.Weight, Samples));
        text.AppendLine().AppendLine(string.Create(
            CultureInfo.InvariantCulture,
            $"Allocations, one of each 100 kB sampled: {Bytes / Math.Max(1, allocated):0.0} B an operation over "
            + $"{allocated:N0} operations."));
        Table(text, "By type, bytes an operation", Types, Bytes, one => string.Create(
            CultureInfo.InvariantCulture, $"{one.Weight / Math.Max(1, allocated),8:0.0} {Share(one.Weight, Bytes)}"));
        return text.ToString();
    }

    private static void Table(
        StringBuilder text, string title, IReadOnlyList<Weighed> all, double sum, Func<Weighed, string> of)
    {
        text.AppendLine().AppendLine(title);
        foreach (var one in all.Take(Shown))
        {
            text.AppendLine($"{of(one)}  {one.Name}");
        }

        if (all.Count > Shown)
        {
            var rest = new Weighed($"{all.Count - Shown:N0} others", all.Skip(Shown).Sum(one => one.Weight));
            if (rest.Weight <= sum)
            {
                text.AppendLine($"{of(rest)}  {rest.Name}");
            }
        }
    }

    private static string Share(double weight, double sum) =>
        string.Create(CultureInfo.InvariantCulture, $"{weight / Math.Max(1, sum) * 100,6:0.0} %");
}
