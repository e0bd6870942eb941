namespace Fleet.Tests;

/// <summary>The folders that lie in <c>shared</c> beside the repository, or beside a folder above it.</summary>
/// <remarks>
/// A checkout may stand alone: what needs them is then reported as skipped. Where FLEET_SHARED_REQUIRED is 1 it runs,
/// and fails for want of them.
/// </remarks>
internal static class SharedFolder
{
    /// <summary>The folder of that name, null where there is none.</summary>
    public static string? Find(string name)
    {
        for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            var beside = Path.Combine(at.FullName, "shared", name);
            if (Directory.Exists(beside))
            {
                return beside;
            }
        }

        return null;
    }

    /// <exception cref="DirectoryNotFoundException">It is not at hand.</exception>
    public static string Of(string name) => Find(name) ?? throw new DirectoryNotFoundException(Missing(name));

    internal static string? WhyToSkip(string name) =>
        Find(name) is null && Environment.GetEnvironmentVariable("FLEET_SHARED_REQUIRED") != "1" ? Missing(name) : null;

    private static string Missing(string name) => $"There is no folder shared/{name} beside the repository.";
}

/// <summary>A fact about a shared folder; skipped where that is not at hand.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SharedFactAttribute : FactAttribute
{
    public SharedFactAttribute(string folder) => Skip = SharedFolder.WhyToSkip(folder);
}

/// <summary>A theory about a shared folder; skipped where that is not at hand.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SharedTheoryAttribute : TheoryAttribute
{
    public SharedTheoryAttribute(string folder) => Skip = SharedFolder.WhyToSkip(folder);
}
