using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Fleet.LoadTests.Measuring;

internal enum BenchOutcome
{
    /// <summary>Every line is there.</summary>
    Whole,

    /// <summary>Its time was over, or the process ended; the lines that are there are good.</summary>
    CutOff,

    /// <summary>It failed.</summary>
    Broken,
}

/// <summary>One benchmark in a file: what it told, when, at which commit, and what else the machine did.</summary>
internal sealed class BenchCourse(string benchmark, bool isQuick)
{
    public string Benchmark { get; } = benchmark;

    public bool IsQuick { get; } = isQuick;

    public BenchOutcome Outcome { get; set; }

    public string Commit { get; set; } = "";

    public bool IsDirty { get; set; }

    public DateTimeOffset MeasuredAt { get; set; } = DateTimeOffset.UtcNow;

    public double WallSeconds { get; set; }

    public double CpuSeconds { get; set; }

    /// <summary>Of everything on the machine: much more than <see cref="CpuSeconds"/> says that it was not
    /// quiet.</summary>
    public double MachineCpuSeconds { get; set; }

    public List<Line> Lines { get; set; } = [];

    public void Spent(Look now, Look began) => (WallSeconds, CpuSeconds, MachineCpuSeconds) = (
        Stopwatch.GetElapsedTime(began.Timestamp, now.Timestamp).TotalSeconds, now.CpuSeconds - began.CpuSeconds,
        now.MachineCpuSeconds - began.MachineCpuSeconds);
}

/// <summary>A round of figures as JSON: benchmarks measured later join it, one measured again takes its
/// place.</summary>
/// <remarks>Written whole after every line, beside the old file and then in its place: a killed round keeps what it
/// had.</remarks>
internal sealed class BenchFile
{
    private static readonly JsonSerializerOptions Options = new()
    {
        WriteIndented = true,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private static readonly Lazy<(string Commit, bool IsDirty)> Checkout =
        new(() => (Git("rev-parse HEAD"), Git("status --porcelain --untracked-files=no -- :!docs").Length > 0));

    private readonly string _path;

    private BenchFile(string path, List<BenchCourse> courses) => (_path, Courses) = (path, courses);

    public static string Commit => Checkout.Value.Commit;

    /// <summary>Whether what is measured is more than its commit.</summary>
    public static bool IsCheckoutDirty => Checkout.Value.IsDirty;

    /// <summary>What a text says of when it was measured, and of what.</summary>
    public static string Stamp => string.Create(
        CultureInfo.InvariantCulture,
        $"commit {Commit[..Math.Min(7, Commit.Length)]}{(IsCheckoutDirty ? " and changes" : "")}, "
        + $"{DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC");

    public List<BenchCourse> Courses { get; }

    /// <exception cref="FormatException">The file is something else; the message is for users.</exception>
    public static BenchFile ReadOrNew(string path) =>
        new(path, File.Exists(path) ? Read(path).Courses : []);

    /// <exception cref="FormatException">The file is something else; the message is for users.</exception>
    public static BenchFile Read(string path)
    {
        try
        {
            if (JsonSerializer.Deserialize<Content>(File.ReadAllText(path), Options)?.Courses is { } courses)
            {
                return new(path, courses);
            }
        }
        catch (JsonException e)
        {
            throw Foreign(path, e);
        }

        throw Foreign(path, null);
    }

    /// <summary>Whether a benchmark need not run again.</summary>
    public bool HasWhole(string benchmark, bool isQuick) => Courses.Any(course =>
        course.Benchmark == benchmark && course.IsQuick == isQuick && course.Outcome is BenchOutcome.Whole
        && course.Commit == Checkout.Value.Commit && !course.IsDirty);

    public void Begin(BenchCourse course)
    {
        (course.Commit, course.IsDirty) = Checkout.Value;
        Courses.RemoveAll(old => old.Benchmark == course.Benchmark);
        Courses.Add(course);
    }

    public void Write()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(_path))!);
        var content = new Content(
            RuntimeInformation.FrameworkDescription, RuntimeInformation.OSDescription, Environment.ProcessorCount,
            GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, System.Runtime.GCSettings.IsServerGC, Load(), Courses);
        File.WriteAllText(_path + ".new", JsonSerializer.Serialize(content, Options));
        File.Move(_path + ".new", _path, overwrite: true);
    }

    private static FormatException Foreign(string path, Exception? inner) =>
        new($"'{path}' holds no round of figures; accepted: a file that bench --out wrote.", inner);

    /// <summary>Processes that ran or wanted to, over the last minute.</summary>
    private static double Load() =>
        double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture);

    private static string Git(string arguments)
    {
        try
        {
            using var git = Process.Start(new ProcessStartInfo("git", arguments)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true
            })!;
            var output = git.StandardOutput.ReadToEnd();
            git.WaitForExit();
            return git.ExitCode == 0 ? output.Trim() : "";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "";
        }
    }

    private sealed record Content(
        string Runtime, string Os, int Cores, long MemoryBytes, bool ServerGc, double LoadAverage,
        List<BenchCourse>? Courses);
}
