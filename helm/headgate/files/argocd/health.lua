-- Argo CD's view of the health of a Rollout.
-- Healthy: the wanted revision serves everything. Suspended: it waits for a person or a time, as it was told to.
-- Degraded: somebody has to do something, or the revision was taken back. Everything else is Progressing.

local function answer(status, message)
  return {status = status, message = message}
end

if obj.status == nil or obj.status.observedGeneration == nil then
  return answer("Progressing", "Headgate has not looked at this Rollout yet.")
end
-- What the status says is about an older spec: the old release's success is not the new one's.
if obj.metadata.generation ~= nil and obj.status.observedGeneration < obj.metadata.generation then
  return answer("Progressing", "Headgate has not looked at generation " .. obj.metadata.generation .. " yet.")
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end

local function because(kind)
  local condition = conditions[kind]
  if condition.message ~= nil and condition.message ~= "" then
    return condition.reason .. ": " .. condition.message
  end
  return condition.reason
end

if is("Rejected", "True") then
  return answer("Degraded", because("Rejected"))
end
if is("Stalled", "True") then
  return answer("Degraded", because("Stalled"))
end
if is("Paused", "True") then
  return answer("Suspended", because("Paused"))
end
if is("Progressing", "False") then
  if is("Available", "False") then
    return answer("Degraded", because("Available"))
  end
  return answer("Healthy", obj.status.message or "")
end
return answer("Progressing", obj.status.message or "")
